/** docs/troubleshooting.md shows what the program prints: each `sh` block that is followed by a `console` block is run and compared. */

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cliAdvice, ERRORS, type ErrorCode } from '../src/errors.ts';
import { WARNINGS } from '../src/warnings.ts';
import { withoutProgress } from './support/progress.ts';
import { newReader, type Reader } from './support/reader.ts';

const page = readFileSync(new URL('../docs/troubleshooting.md', import.meta.url), 'utf8');
const shown = [...page.matchAll(/^```sh\n([^`]*)^```\n\n```console\n(.*?)^```$/gms)].map(([, commands = '', output = '']) => ({
  commands,
  output,
}));

/** A checksum of an image that is made anew is not known here. */
const withoutChecksum = (text: string): string => text.replace(/checksum \S+,/, 'checksum CHECKSUM,');

let reader: Reader;
beforeAll(async () => {
  reader = await newReader();
});
afterAll(() => reader.close());

describe('what is shown after a command is what it prints:', () => {
  test.each(shown)('$commands', async ({ commands, output }) => {
    const { stdout } = await reader.shell(`{ ${commands.replace(/^vdistream info leaf.vhd image.vhd.*\n/m, '')}} 2>&1`);
    expect(withoutChecksum(withoutProgress(stdout))).toBe(output);
  });

  test('there are several', () => expect(shown.length).toBeGreaterThanOrEqual(5));
});

const isError = (code: string): code is ErrorCode => Object.hasOwn(ERRORS, code);

test('each code is in the tables, and the advice shown for an error is its own', () => {
  const codes = [...page.matchAll(/\b[A-Z]+_[A-Z_]+\b/g)].map(([code]) => code).filter((code) => !/^(?:O_|GLIBC_|OS_)/.test(code));
  expect(codes.filter((code) => !isError(code) && !Object.hasOwn(WARNINGS, code))).toEqual([]);
  const advised = [...page.matchAll(/^ {2}(\S.*) \(([A-Z_]+)\)$/gm)].map(([, advice = '', code = '']) => ({ code, advice }));
  expect(advised.length).toBeGreaterThanOrEqual(10);
  const ofCase = ['FORMAT_OTHER'];
  for (const { code, advice } of advised) {
    if (!isError(code)) throw new Error(`no error ${code}`);
    const own = cliAdvice({ code, advice: ERRORS[code].advice });
    if (!ofCase.includes(code) && code !== 'CHAIN_ORDER') expect({ code, advice }).toEqual({ code, advice: own });
  }
});
