/** Advice fits the caller, the sources and the call. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allOptions } from '../../src/cli/options.ts';
import { cliAdvice, ERRORS, VdiStreamError } from '../../src/errors.ts';
import { check, info, writeDisk } from '../../src/index.ts';
import { chunked, sampleChain, stored } from '../support/chains.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { sample } from '../support/packages.ts';
import { errorMessages } from '../support/prose.ts';
import { readSources } from '../support/sources.ts';
import { tarOf } from '../support/tar.ts';

const { vhd } = sample(1);
const folderWith = (files: Readonly<Record<string, Uint8Array>>): ((name: string) => string) => {
  const folder = testFolder();
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  return (name) => join(folder, name);
};

describe('options of the command line are', () => {
  const names = allOptions().map(({ name }) => name);
  const optionsIn = (text: string): string[] =>
    [...text.matchAll(/(?<![\w-])--([a-z][a-z0-9-]*)/g)].flatMap(([, name = '']) => names.filter((own) => own === name));

  test('in no advice or meaning of the library', () => {
    const found = Object.entries(ERRORS).flatMap(([code, { advice, meaning }]) =>
      optionsIn(`${advice} ${meaning}`).map((name) => `${code}: ${name}`),
    );
    expect(found).toEqual([]);
  });

  test('in no message of an error outside the command line', () => {
    const own = readSources('src').filter(({ path }) => !path.startsWith('src/cli/'));
    const messages = errorMessages(own);
    expect(messages.length).toBeGreaterThan(200);
    expect(messages.flatMap(({ place, text }) => optionsIn(text).map((name) => `${place}: ${name}`))).toEqual([]);
  });

  test('what the command line advises instead, unless the case has an advice of its own', () => {
    const error = new VdiStreamError('DISK_AMBIGUOUS', 'two');
    expect([error.advice, cliAdvice(error)]).toEqual([
      'Choose one of them by its name.',
      'Choose one with --disk NAME. `import --all-disks` imports all of them.',
    ]);
    const special = new VdiStreamError('DISK_AMBIGUOUS', 'two', { advice: 'Ask.' });
    expect([special.advice, cliAdvice(special), special.toJSON().advice]).toEqual(['Ask.', 'Ask.', 'Ask.']);
    expect(cliAdvice(new VdiStreamError('DISK_EMPTY', 'empty'))).toBe(ERRORS.DISK_EMPTY.advice);
  });
});

test('a message is one line, whatever program is quoted in it', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', ' ', '\n', '\r\n', '\t', 'error:')), (pieces) => {
      const { message } = new VdiStreamError('USAGE', pieces.join(''));
      expect(message).not.toMatch(/[\r\n\t]/);
      // A tab that is no part of a line end is shown as \t.
      expect(message.split(/(?:\s|\\t)+/).join('')).toBe(pieces.join('').split(/\s+/).join(''));
    }),
  );
});

describe('for several files,', () => {
  test('a wrong order is named: the leaf first, and which file is not', async () => {
    const { vhds } = sampleChain();
    const folder = testFolder();
    const paths = vhds.map((bytes, index) => stored(folder, `layer-${index}.vhd`, Buffer.from(bytes)));
    const reversed = [...paths].reverse();
    const shape = {
      code: 'CHAIN_ORDER',
      message: expect.stringMatching(/layer-1\.vhd is a layer over this disk, so it must come first/),
      advice: 'List the files leaf first, each followed by its parent.',
    };
    expect(await failure(writeDisk(reversed, 'null:'))).toMatchObject(shape);
    expect(await failure(info(reversed))).toMatchObject(shape);
    expect((await check(reversed)).findings).toContainEqual(expect.objectContaining(shape));
  });
});

describe('a part of a file that was split', () => {
  test.each([['disk.vhd.001'], ['disk.vhd.aa'], ['box.tar.part1'], ['box.tar-aa'], ['xaa'], ['disk.00'], ['box.part-01']])(
    'is seen by the name %s',
    async (name) => {
      const at = folderWith({ [name]: vhd.subarray(0, 100_000) });
      const shape = { advice: expect.stringMatching(/^.* looks like one part of a file.*cat PARTS \| vdistream write - /) };
      expect(await failure(writeDisk(at(name), 'null:'))).toMatchObject(shape);
      expect((await check(at(name))).findings).toContainEqual(expect.objectContaining(shape));
    },
  );

  test.each([['disk.vhd'], ['disk.vhd.gz'], ['data'], ['backup-2024'], ['disk.v2']])('is not %s', async (name) => {
    const at = folderWith({ [name]: vhd.subarray(0, 100_000) });
    expect((await failure(writeDisk(at(name), 'null:'))).advice).not.toContain('split');
  });

  test('is no advice for an image that fails for another reason', async () => {
    const at = folderWith({
      'box.001': tarOf([
        ['a.vhd', vhd],
        ['b.vhd', vhd],
      ]),
    });
    expect((await failure(writeDisk(at('box.001'), 'null:'))).code).toBe('DISK_AMBIGUOUS');
    expect((await failure(writeDisk(at('box.001'), 'null:'))).advice).not.toContain('split');
  });
});

test('a cancelled write says what the target may hold, and a cancelled info says nothing of a target', async () => {
  const stopped = AbortSignal.abort();
  const target = join(testFolder(), 'disk');
  const cancelled = await failure(writeDisk(chunked(vhd), target, { signal: stopped }));
  const looked = await failure(info(chunked(vhd), { signal: stopped }));
  expect([cancelled.code, looked.code]).toEqual(['CANCELLED', 'CANCELLED']);
  expect(looked.advice).not.toContain('target');
  const during = new AbortController();
  const writing = writeDisk(stored(testFolder(), 'disk.vhd', vhd), target, {
    signal: during.signal,
    onProgress: ({ phase }) => phase === 'write' && during.abort(),
  });
  expect(await failure(writing)).toMatchObject({ code: 'CANCELLED', advice: expect.stringContaining('only part of the disk') });
});

test.each(['ftp://host/disk.vhd', 's3://bucket/disk.vhd'])('%s is not taken for a path', async (url) => {
  for (const call of [info(url), writeDisk(url, 'null:'), check(url)]) {
    expect(await failure(call)).toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('is a URL, but an image is fetched from http'),
    });
  }
  const path = stored(testFolder(), 'disk.vhd', vhd);
  expect(await failure(Promise.resolve().then(() => writeDisk(path, url)))).toMatchObject({ code: 'USAGE' });
});
