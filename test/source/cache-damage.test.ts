import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Opener } from '../../src/source/source.ts';
import { entry, expectImage, image, other } from '../support/cached-image.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { digestOf, imageOpener, nameOf, use } from '../support/image-opener.ts';
import { testWith } from '../support/needs.ts';
import { openFilesIn } from '../support/open-files.ts';

describe('an entry that cannot be trusted is replaced silently:', () => {
  const damages: readonly [string, (path: string, folder: string) => void][] = [
    ['a byte has changed', (path) => writeFileSync(path, flipped(image, 123_456))],
    ['the last byte has changed', (path) => writeFileSync(path, flipped(image, image.length - 1))],
    ['it is cut', (path) => truncateSync(path, 299_999)],
    ['it is empty', (path) => truncateSync(path, 0)],
    ['something follows', (path) => appendFileSync(path, '\0')],
  ];
  const others: readonly [string, (path: string, folder: string) => void][] = [
    ['it is a link', (path, folder) => symlinkSync(join(folder, 'theirs'), path)],
    ['it is a link to nothing', (path) => symlinkSync('nothing', path)],
    ['it is a folder', (path) => mkdirSync(path)],
    ['it is a FIFO', (path) => void execFileSync('mkfifo', [path])],
    ['it is a socket', (path) => void execFileSync('python3', ['-c', SOCKET, path])],
  ];

  for (const [lengths, length] of [
    ['the length is known', image.length],
    ['the length is unknown', undefined],
  ] as const) {
    test.each([...damages, ...others])(`%s, and ${lengths}`, async (_, damage) => {
      const folder = testFolder();
      const opener = imageOpener(image, { length });
      await expectImage(opener, folder);
      writeFileSync(join(folder, 'theirs'), image);
      if (others.some(([, make]) => make === damage)) rmSync(join(folder, entry));
      damage(join(folder, entry), folder);
      await expectImage(opener, folder);
      expect(opener.opened()).toBe(2);
      expect(lstatSync(join(folder, entry)).isFile()).toBe(true);
      await expectImage(opener, folder);
      expect(opener.opened()).toBe(2);
      expect(readFileSync(join(folder, 'theirs')).equals(image)).toBe(true);
    });
  }

  testWith('root')('it belongs to another user, who could change it later', async () => {
    const folder = testFolder();
    const opener = imageOpener(image);
    await expectImage(opener, folder);
    chownSync(join(folder, entry), 65_534, 65_534);
    await expectImage(opener, folder);
    expect(opener.opened()).toBe(2);
    expect(statSync(join(folder, entry)).uid).toBe(0);
  });

  test('but a folder that is not empty is reported and left alone', async () => {
    const folder = testFolder();
    mkdirSync(join(folder, entry));
    writeFileSync(join(folder, entry, 'theirs'), 'dear');
    const error = await failure(use(imageOpener(image), folder));
    expect(error).toMatchObject({ code: 'CACHE', errno: 39, message: expect.stringContaining(join(folder, entry)) });
    expect(readFileSync(join(folder, entry, 'theirs'), 'utf8')).toBe('dear');
  });
});

const SOCKET = 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])';

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const damaged = Uint8Array.from(bytes);
  damaged[at] = (damaged[at] ?? 0) ^ 1;
  return damaged;
}

describe('bytes that do not match are never passed on and never kept', () => {
  test('if the server sends other bytes than it announces', async () => {
    const folder = testFolder();
    const liar: Opener = { ...imageOpener(other, { digest: undefined }), describe: async () => ({ digest: digestOf(image) }) };
    expect(await failure(use(liar, folder))).toMatchObject({
      code: 'SOURCE_CHECKSUM',
      message: expect.stringContaining(digestOf(other).hex),
    });
    expect([readdirSync(folder), openFilesIn(folder)]).toEqual([[], []]);
  });

  test('if the caller expects others, and the existing entry is kept', async () => {
    const folder = testFolder();
    const opener = imageOpener(image, { digest: digestOf(image, 'sha512') });
    await expectImage(opener, folder);
    const error = await failure(use(opener, folder, { sha256: digestOf(other).hex }));
    expect(error).toMatchObject({ code: 'SOURCE_CHECKSUM', message: expect.stringContaining(digestOf(image).hex) });
    expect(opener.opened()).toBe(1);
    expect([readdirSync(folder), openFilesIn(folder)]).toEqual([[nameOf(digestOf(image, 'sha512'))], []]);
  });

  test('if the caller and the server have two different checksums of one algorithm, and both have entries', async () => {
    const folder = testFolder();
    await use(imageOpener(image), folder);
    await use(imageOpener(other), folder);
    const both = readdirSync(folder);
    const error = await failure(use(imageOpener(image), folder, { sha256: digestOf(other).hex }));
    expect(error).toMatchObject({ code: 'SOURCE_CHECKSUM' });
    expect(readdirSync(folder)).toEqual(both);
  });
});
