/** Nothing that is printed obeys the image, the server, the toolstack or a file name: see src/cli/output.ts. */

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ERRORS, type ErrorCode, VdiStreamError } from '../../src/errors.ts';
import { printable, printableJson, quote } from '../../src/quote.ts';
import { WARNINGS, type Warning, type WarningCode, warner } from '../../src/warnings.ts';
import { cli } from '../support/cli.ts';
import { testFolder } from '../support/folder.ts';
import { rawServer } from '../support/http-server.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { envelope } from '../support/ovf.ts';
import { ovfOf } from '../support/packages.ts';
import { paxHeader, TAR_END, tarMember, tarOf } from '../support/tar.ts';

/** What a terminal or a reader acts on: ESC, CSI as one byte of C1, overrides and isolates of direction, ends of lines. */
const EVIL = '\x1b[2J\u009b31m\u202e\u2066\u2069\u2028\r\nFORGED\t\x07\x7f';
/** The same for places where a NUL, a slash or white space has a meaning. */
const EVIL_WORD = '\x1b[2J\u009b31m\u202e\u2066\u2069\u2028FORGED';

/** Any text, and often one with what must not be printed. */
const HOSTILE = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string().map((text) => `${text}${EVIL}${text}`),
  fc.constantFrom('\n', ' \r\n '),
);
const CODES = Object.keys(ERRORS) as ErrorCode[];
const WARNING_CODES = Object.keys(WARNINGS) as WarningCode[];

const SR = '7b3a6d1c-2f58-4e0c-9a57-1f0f2b9d4c11';

const vhd = dynamicVhd({ size: 8192, blockSize: 4096, blocks: new Map([[0, Buffer.alloc(4096, 1)]]) });

/** Line ends belong to the program; each starts a line of its own. */
function expectSafe(text: string): void {
  expect(text.replaceAll('\n', '')).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
  expect(text).not.toMatch(/^\W*FORGED/m);
}

const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u;

/** The messages and advice of errors, warnings and findings, which are one line each; a `member` has the name as it is. */
function sentencesOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([field, content]) =>
    typeof content === 'string' ? (['message', 'advice'].includes(field) ? [content] : []) : sentencesOf(content),
  );
}

/** Runs it for people and for programs, and returns all that the first printed. */
async function printed(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const run = (more: readonly string[]): ReturnType<typeof cli> => cli([...args, ...more], { env: { ...process.env, ...env } });
  // One after the other: they may write to the same target.
  const people = await run([]);
  const programs = await run(['--json']);
  for (const text of [people.stdout, people.stderr, programs.stdout, programs.stderr]) expectSafe(text);
  for (const line of `${programs.stdout}${programs.stderr}`.split('\n')) {
    if (line !== '') expect(sentencesOf(JSON.parse(line)).filter((sentence) => UNPRINTABLE.test(sentence))).toEqual([]);
  }
  return people.stdout + people.stderr;
}

function stored(bytes: Uint8Array, name = 'image'): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

/** A member whose name comes from a pax header. */
const named = (path: string, body: Uint8Array): Buffer =>
  Buffer.concat([paxHeader({ path }), tarMember({ name: 'short', size: body.length }, body)]);

const archive = (...members: readonly Buffer[]): Buffer => Buffer.concat([...members, TAR_END]);

describe('of an image,', () => {
  test.each(['info', 'check'])('the names of members and of what is ignored are safe in %s', async (command) => {
    const image = stored(archive(named(`${EVIL}.vhd`, vhd), named(`readme${EVIL}`, Buffer.from('x')), named(`b${EVIL}.vhd`, vhd)));
    expect(await printed([command, image])).toContain(command === 'info' ? 'FORGED' : '2 disks');
  });

  test('they are safe in write and verify', async () => {
    const image = stored(archive(named(`${EVIL}.vhd`, vhd), named(`readme${EVIL}`, Buffer.from('x'))));
    const target = join(testFolder(), 'disk');
    expect(await printed(['write', image, target, '--force=content'])).toContain('FORGED');
    expect(await printed(['write', image, join(testFolder(), 'disk'), '--strict', '--disk', 'other'])).toContain('other');
    expect(await printed(['verify', image, target])).toContain('compared');
  });

  test('a member in an error is safe', async () => {
    expect(await printed(['info', stored(archive(named(`${EVIL}.vhd`, vhd.subarray(0, 2000))))])).toContain('FORGED');
    expect(await printed(['info', stored(archive(named(`${EVIL}.vhd`, Buffer.from('not a VHD'))))])).toMatch(/FORGED/);
  });

  test('the creator and the name of the parent are safe', async () => {
    const creator = stored(fixedVhd(Buffer.alloc(4096, 1), '\x1b[2J'));
    expect(await printed(['info', creator])).toContain('creator');
    const parent = { id: 9, timestamp: 0, name: EVIL };
    const child = stored(dynamicVhd({ size: 8192, blockSize: 4096, blocks: new Map(), type: 4, parent }));
    expect(await printed(['info', child])).toContain('FORGED');
    expect(await printed(['write', child, 'null:'])).toContain('FORGED');
  });

  test('hrefs, units, IDs and elements of an OVF are safe', async () => {
    const evil = '&#x9b;31m&#x202e;&#x2066;&#10;FORGED';
    const descriptors = [
      ovfOf([`${evil}.vhd`]),
      ovfOf([`../${evil}.vhd`]),
      ovfOf(['0.vhd'], `ovf:size="${evil}"`),
      envelope(`<File ovf:id="a${evil}" ovf:href="0.vhd"/>`, `<Disk ovf:diskId="d${evil}" ovf:fileRef="x${evil}" ovf:capacity="1"/>`),
      envelope(
        '<File ovf:id="a" ovf:href="0.vhd"/>',
        `<Disk ovf:diskId="d" ovf:fileRef="a" ovf:capacity="1" ovf:capacityAllocationUnits="${evil}"/>`,
      ),
    ];
    for (const descriptor of descriptors) {
      const image = stored(
        tarOf([
          ['box.ovf', Buffer.from(descriptor)],
          ['0.vhd', vhd],
        ]),
      );
      for (const command of ['info', 'check']) expect(await printed([command, image])).not.toBe('');
    }
  });

  test('the lines of a manifest are safe', async () => {
    for (const line of [`SHA256(${EVIL_WORD})= 00`, `${EVIL_WORD}(0.vhd)= ${'0'.repeat(64)}`, EVIL]) {
      const image = stored(
        tarOf([
          ['box.ovf', ovfOf(['0.vhd'])],
          ['box.mf', Buffer.from(`${line}\n`)],
          ['0.vhd', vhd],
        ]),
      );
      expect(await printed(['info', image, '--manifest=require'])).toContain('MANIFEST_SYNTAX');
    }
  });
});

describe('of a command line,', () => {
  test('the names of SRC and TARGET are safe', async () => {
    const image = stored(vhd, EVIL);
    expect(await printed(['info', image])).toContain('FORGED');
    expect(await printed(['check', image])).toContain('FORGED');
    const folder = join(testFolder(), EVIL);
    mkdirSync(folder);
    const target = join(folder, 'disk');
    expect(await printed(['write', image, target, '--force=content'])).toContain('FORGED');
    expect(JSON.parse((await cli(['write', image, target, '--json', '--force=content'])).stdout)).toMatchObject({ target });
    expect(await printed(['verify', image, target])).toContain('FORGED');
    expect(await printed(['write', image, folder])).toContain('FORGED');
    expect(await printed(['info', join(folder, 'missing')])).toContain('FORGED');
    expect(await printed(['info', 'http://localhost/', '--headers', join(folder, 'missing')])).toContain('FORGED');
  });

  test.each([
    [[EVIL]],
    [['help', EVIL]],
    [['completion', EVIL]],
    [['info', `--${EVIL}`, 'image']],
    [['info', `-${EVIL}`, 'image']],
    [['info', 'image', `--quick=${EVIL}`]],
    [['write', 'image', 'null:', `--zero=${EVIL}`]],
    [['write', 'image', 'null:', `--force=${EVIL}`]],
    [['info', 'image', `--manifest=${EVIL}`]],
    [['info', `glance:${EVIL}`, '--glance', `http://localhost:1/${EVIL}`]],
    [['info', 'glance:x', '--glance', EVIL]],
    [['info', `http://${EVIL}/`]],
    [['import', 'image', '--sr', EVIL]],
    [['import', 'image', '--device', EVIL]],
    [['reap', EVIL]],
    [['reap', '--sr', EVIL]],
  ])('%j is safe in an error', async (args) => {
    const { stdout, stderr } = await cli(args);
    expectSafe(stdout);
    expectSafe(stderr);
    expect(stdout + stderr).not.toBe('');
  });
});

test('the tables of errors and warnings have one line for each text', () => {
  const texts = [...Object.values(ERRORS), ...Object.values(WARNINGS)].flatMap((kind) =>
    Object.values(kind).filter((text) => typeof text === 'string'),
  );
  expect(texts.length).toBeGreaterThan(200);
  expect(texts.filter((text) => UNPRINTABLE.test(text))).toEqual([]);
});

test('a message and an advice are one line, whatever is quoted in them, for each code', () => {
  fc.assert(
    fc.property(fc.constantFrom(...CODES), fc.constantFrom(...WARNING_CODES), HOSTILE, HOSTILE, (code, warningCode, message, advice) => {
      const { error } = JSON.parse(JSON.stringify({ error: new VdiStreamError(code, message, { advice }) }));
      const warnings: Warning[] = [];
      const passed: Warning[] = [];
      warner(warnings, { onWarning: (warning) => passed.push(warning) })({ code: warningCode, message });
      const texts = [
        error.message,
        error.advice,
        ...warnings.map((warning) => warning.message),
        ...passed.map((warning) => warning.message),
      ];
      expect(texts.filter((text) => UNPRINTABLE.test(text))).toEqual([]);
    }),
  );
});

test('the words of xe are safe', async () => {
  const image = stored(vhd);
  const inventory = stored(Buffer.from(`INSTALLATION_UUID='${SR}'\nCONTROL_DOMAIN_UUID='${SR}'\n`));
  for (const script of ['cat "$0.words" >&2; exit 1', 'cat "$0.words"', 'exec kill -9 $$']) {
    const xe = stored(Buffer.from(`#!/bin/sh\n${script}\n`), 'xe');
    writeFileSync(`${xe}.words`, EVIL);
    chmodSync(xe, 0o755);
    expect(await printed(['import', image, '--sr', SR, '--xe', xe], { VDISTREAM_INVENTORY: inventory })).not.toBe('');
    expect(await printed(['reap', '--xe', xe], { VDISTREAM_INVENTORY: inventory })).not.toBe('');
  }
});

test('what a server answers is safe', async () => {
  const heads = [
    `HTTP/1.1 404 ${EVIL_WORD}\r\ncontent-length: 0\r\n\r\n`,
    `HTTP/1.1 302 ${EVIL_WORD}\r\nlocation: ftp://${EVIL_WORD}/\r\ncontent-length: 0\r\n\r\n`,
    `HTTP/1.1 302 Found\r\nlocation: //${EVIL_WORD}\r\ncontent-length: 0\r\n\r\n`,
    `HTTP/1.1 200 OK\r\ncontent-range: ${EVIL_WORD}\r\netag: "${EVIL_WORD}"\r\ncontent-length: 9\r\n\r\nnot a VHD`,
    `${EVIL_WORD}\r\n\r\n`,
  ];
  for (const head of heads) {
    const server = await rawServer((socket) => socket.end(Buffer.from(head, 'utf8')));
    expect(await printed(['info', server.url(`/${encodeURIComponent(EVIL_WORD)}`)])).not.toBe('');
  }
});

describe('a text', () => {
  test.each([
    ['plain ünïcödé 日本 🙂', 'plain ünïcödé 日本 🙂'],
    ['a\nb\r\tc', 'a\\nb\\r\\tc'],
    ['\x1b[2J\u009b\x7f', '\\u{1b}[2J\\u{9b}\\u{7f}'],
    ['\u202e\u2066\u2069\u200b\u2028\ufeff', '\\u{202e}\\u{2066}\\u{2069}\\u{200b}\\u{2028}\\u{feff}'],
    ['\ud800 \u{e0001}', '\\u{d800} \\u{e0001}'],
  ])('%j is printed as %s', (text, expected) => {
    expect(printable(text)).toBe(expected);
    expect(printable(expected)).toBe(expected);
    expect(quote(text)).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
  });

  test.each([EVIL, '\u{e0001}\ud800', 'plain ünïcödé 🙂', '\\u202e'])('%j is the same after JSON', (text) => {
    const json = printableJson({ [text]: [text] });
    expect(JSON.parse(json)).toEqual({ [text]: [text] });
    expect(json).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
  });
});
