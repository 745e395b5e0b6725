import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import { type Chunks, streamCursor } from '../../src/cursor.ts';
import { type ErrorCode, VdiStreamError } from '../../src/errors.ts';
import { ownerText, thisOwner } from '../../src/host/owner.ts';
import { writeDisk } from '../../src/index.ts';
import type { Source } from '../../src/source/source.ts';
import { stagedImage } from '../../src/source/staged-image.ts';
import { stage } from '../../src/source/staging.ts';
import { chainTar, sampleChain } from '../support/chains.ts';
import { collect, noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { digestOf, failing, type ImageOptions, imageOpener, stalling } from '../support/image-opener.ts';
import { testWith } from '../support/needs.ts';
import { openFilesIn } from '../support/open-files.ts';
import { imageServer, stagingProcesses } from '../support/staging-process.ts';
import { thinFolder, tinyFolder } from '../support/tiny-folder.ts';

const startProcess = stagingProcesses();

const MiB = 2 ** 20;
const image = Buffer.from(noise(300_000, 1));
const uuid = '01234567-89ab-cdef-0123-456789abcdef';

/** All bytes of a source, which is closed. */
async function contentOf(source: Source): Promise<Buffer> {
  try {
    return await collect(source.cursor.chunks());
  } finally {
    await source.close();
  }
}

describe('a staged image', () => {
  test('is complete, keeps its name, and is seekable before its first byte is read', async () => {
    const opener = imageOpener(image, { name: 'http://server/image', length: image.length });
    const source = await stagedImage(opener, testFolder()).open({});
    expect([opener.opened(), opener.closed()]).toEqual([1, 1]);
    expect(source.name).toBe('http://server/image');
    expect(source.cursor).toMatchObject({ seekable: true, length: 300_000, position: 0 });
    await source.cursor.moveTo(299_990);
    expect(Buffer.from(await source.cursor.read(10))).toEqual(image.subarray(299_990));
    expect(source.bytesRead()).toBe(10);
    await source.cursor.moveTo(0);
    expect((await collect(source.cursor.chunks())).equals(image)).toBe(true);
    expect(source.bytesRead()).toBe(300_010);
    await source.finish();
    await source.close();
  });

  test('has no name in the folder, which is created for its user only', async () => {
    const folder = join(testFolder(), 'made', 'by us');
    const source = await stagedImage(imageOpener(image), folder).open({});
    expect(readdirSync(folder)).toEqual([]);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    await source.close();
  });

  testWith('root')('frees its space when it is closed', async () => {
    const { path, room } = tinyFolder(4 * MiB);
    const before = room();
    const source = await stagedImage(imageOpener(image), path).open({});
    expect(before - room()).toBeGreaterThanOrEqual(300_000);
    await source.close();
    expect(room()).toBe(before);
  });

  test('reports how much has been fetched, and the total if it is known', async () => {
    for (const length of [undefined, image.length]) {
      const reported: [number, number][] = [];
      const onRead = (...progress: [number, number]): number => reported.push(progress);
      const source = await stagedImage(imageOpener(image, { length }), testFolder()).open({ onRead });
      expect(reported.at(-1)).toEqual([300_000, length ?? 0]);
      expect(reported.map(([position]) => position)).toEqual(reported.map(([position]) => position).sort((a, b) => a - b));
      expect(reported.length).toBeGreaterThan(2);
      await source.close();
    }
  });

  test('whose leaf comes last needs neither the size of the disk nor a folder for layers', async () => {
    const folder = testFolder();
    const { vhds, content } = sampleChain();
    const tar = gzipSync(chainTar(vhds, [2, 1, 0]));
    const target = join(folder, 'target');
    await writeDisk(stagedImage(imageOpener(tar), join(folder, 'staging')), target, { verify: true });
    expect(readFileSync(target).equals(content)).toBe(true);
    expect(readdirSync(join(folder, 'staging'))).toEqual([]);
  });
});

describe('an image that cannot be fetched leaves no file, and its source is closed, after', () => {
  const cases: readonly [string, ImageOptions, ErrorCode][] = [
    ['bytes that do not match', { digest: digestOf(noise(10, 2)) }, 'SOURCE_CHECKSUM'],
    ['an early end', { length: 300_001 }, 'SOURCE_TRUNCATED'],
    ['a read that fails', { attempts: [() => failing(image, new Error('cable'))] }, 'SOURCE_READ'],
  ];
  test.each(cases)('%s', async (_, options, code) => {
    const folder = testFolder();
    const opener = imageOpener(image, options);
    expect(await failure(stagedImage(opener, folder).open({}))).toMatchObject({ code });
    expect([opener.opened(), opener.closed()]).toEqual([1, 1]);
    expect(readdirSync(folder)).toEqual([]);
    expect(openFilesIn(folder)).toEqual([]);
  });

  test('a mismatch with the caller’s SHA-256', async () => {
    const folder = testFolder();
    const opener = imageOpener(image, { digest: undefined });
    const opening = stagedImage(opener, folder).open({ sha256: digestOf(noise(10, 2)).hex });
    expect(await failure(opening)).toMatchObject({ code: 'SOURCE_CHECKSUM' });
    expect(openFilesIn(folder)).toEqual([]);
    const source = await stagedImage(opener, folder).open({ sha256: digestOf(image).hex.toUpperCase() });
    expect(source.cursor.seekable).toBe(true);
    expect((await contentOf(source)).equals(image)).toBe(true);
  });

  test('a signal in the middle, while no bytes arrive', async () => {
    const folder = testFolder();
    const opener = imageOpener(image, { attempts: [() => stalling(image)] });
    const controller = new AbortController();
    const opening = stagedImage(opener, folder).open({ signal: controller.signal, onRead: () => setImmediate(() => controller.abort()) });
    expect(await failure(opening)).toMatchObject({ code: 'CANCELLED' });
    expect([opener.opened(), opener.closed()]).toEqual([1, 1]);
    expect(openFilesIn(folder)).toEqual([]);
  });

  test('a signal that had already fired', async () => {
    const opener = imageOpener(image);
    expect(await failure(stagedImage(opener, testFolder()).open({ signal: AbortSignal.abort() }))).toMatchObject({ code: 'CANCELLED' });
    expect(opener.begun()).toBe(0);
  });

  test('a kill of its process in the middle', async () => {
    const folder = testFolder();
    const { url } = await imageServer(image, (response) => void response.write(image.subarray(0, 100_000)));
    const fetching = startProcess({ does: 'staged', url, folder, digest: digestOf(image) });
    await fetching.said('read');
    await vi.waitFor(() => expect(openFilesIn(folder, fetching.child.pid)).toHaveLength(1), 60_000);
    await fetching.kill();
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('an image is fetched again', () => {
  const broken = (code: ErrorCode) => () => failing(image.subarray(0, 123_456), new VdiStreamError(code, 'the line is bad'));

  test.each(['HTTP_RANGE', 'HTTP_CHANGED', 'HTTP_DROPPED'] as const)('at most three times after %s', async (code) => {
    const folder = testFolder();
    const lucky = imageOpener(image, { attempts: [broken(code), broken(code), broken(code)] });
    const source = await stagedImage(lucky, folder).open({});
    expect((await contentOf(source)).equals(image)).toBe(true);
    expect([lucky.opened(), lucky.closed()]).toEqual([4, 4]);
    const unlucky = imageOpener(image, { attempts: [broken(code), broken(code), broken(code), broken(code)] });
    expect(await failure(stagedImage(unlucky, folder).open({}))).toMatchObject({ code, message: 'the line is bad' });
    expect([unlucky.opened(), unlucky.closed()]).toEqual([4, 4]);
    expect(openFilesIn(folder)).toEqual([]);
  });

  test.each(['HTTP_CONNECT', 'HTTP_AUTH', 'HTTP_SERVER', 'SOURCE_READ'] as const)('never after %s', async (code) => {
    const opener = imageOpener(image, { attempts: [broken(code)] });
    expect(await failure(stagedImage(opener, testFolder()).open({}))).toMatchObject({ code });
    expect(opener.opened()).toBe(1);
  });
});

describe('a folder without enough room', () => {
  testWith('root')('is reported before the first byte, with both sizes', async () => {
    const { path, room } = tinyFolder(MiB);
    const free = room();
    const opener = imageOpener(noise(2 * MiB, 3), { length: 2 * MiB });
    const error = await failure(stagedImage(opener, path).open({}));
    expect(error).toMatchObject({ code: 'STAGING', message: expect.stringMatching(new RegExp(`\\b${free} bytes.*\\b2097152\\b`)) });
    expect([opener.begun(), opener.closed()]).toEqual([0, 1]);
  });

  testWith('root')('is reported once it is full if the length is unknown, and the space is freed', async () => {
    const { path, room } = tinyFolder(MiB);
    const free = room();
    const error = await failure(stagedImage(imageOpener(noise(2 * MiB, 3)), path).open({}));
    expect(error).toMatchObject({ code: 'STAGING', errno: 28, message: expect.stringMatching(/ENOSPC.*use another folder/) });
    expect(room()).toBe(free);
  });

  testWith('root')('is not reported if it has exactly as much as the image needs', async () => {
    const { path, room } = tinyFolder(MiB);
    const all = noise(room(), 3);
    const source = await stagedImage(imageOpener(all, { length: all.length }), path).open({});
    expect((await contentOf(source)).equals(all)).toBe(true);
  });
});

testWith('loop', 'mkfs.ext4')('storage that loses data after accepting it is reported, not read back as zeros', async () => {
  const folder = thinFolder(8 * MiB, 128 * MiB);
  const bytes = noise(32 * MiB, 3);
  expect(await failure(stagedImage(imageOpener(bytes, { length: bytes.length }), folder).open({}))).toMatchObject({ code: 'STAGING' });
  expect(await failure(stage(folder, streamCursor(reusing(bytes))))).toMatchObject({ code: 'STAGING' });
  expect(openFilesIn(folder)).toEqual([]);
});

describe('a folder cannot be used for staging', () => {
  test('because it is a file, or inside a file', async () => {
    const file = join(testFolder(), 'file');
    writeFileSync(file, '');
    expect(await failure(stagedImage(imageOpener(image), file).open({}))).toMatchObject({ code: 'STAGING', errno: 17 });
    expect(await failure(stagedImage(imageOpener(image), join(file, 'inside')).open({}))).toMatchObject({ code: 'STAGING', errno: 20 });
    for (const folder of ['', 'a\0b']) {
      expect(() => stagedImage(imageOpener(image), folder)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    }
  });

  testWith('root')('because it is read-only', async () => {
    const folder = tinyFolder(MiB);
    folder.makeReadOnly();
    const opener = imageOpener(image);
    expect(await failure(stagedImage(opener, folder.path).open({}))).toMatchObject({ code: 'STAGING', errno: 30 });
    expect(opener.opened()).toBe(0);
  });
});

describe('what dead processes have left behind in the folder', () => {
  /** The owner of a process that has been killed. */
  async function deadOwner(): Promise<string> {
    const dead = startProcess({ does: 'hold', path: join(testFolder(), 'lock') });
    const owner = await dead.said('owner');
    await dead.said('holding');
    await dead.kill();
    return owner;
  }

  const uses: readonly [string, (folder: string) => Promise<void>][] = [
    ['an image', async (folder) => (await stagedImage(imageOpener(image), folder).open({})).close()],
    ['a layer', async (folder) => (await stage(folder, streamCursor(reusing(image)))).close()],
  ];

  test.each(uses)('is removed before %s is staged, and nothing else is', async (_, use) => {
    const [folder, elsewhere] = [testFolder(), testFolder()];
    const dead = await deadOwner();
    const others = [
      `.vdistream-${ownerText(thisOwner())}-${uuid}`, // of the living
      `.vdistream-${uuid}`,
      `.vdistream-${dead}-${uuid}x`,
      `.vdistream-${dead}`,
      `vdistream-${dead}-${uuid}`,
      `x.vdistream-${dead}-${uuid}`,
      `.vdistream-x${dead}-${uuid}`,
      'image.ova',
    ];
    for (const name of others) writeFileSync(join(folder, name), name);
    writeFileSync(join(folder, `.vdistream-${dead}-${uuid}`), 'left over');
    writeFileSync(join(elsewhere, 'file'), 'of somebody else');
    symlinkSync(join(elsewhere, 'file'), join(folder, `.vdistream-${dead}-${uuid.replace('0', '1')}`));
    const nested = `.vdistream-${dead}-${uuid.replace('0', '2')}`;
    mkdirSync(join(folder, nested));
    await use(folder);
    expect(readdirSync(folder).sort()).toEqual([...others, nested].sort());
    expect(readdirSync(elsewhere)).toEqual(['file']);
  });
});

test('a layer that cannot be staged leaves no file open', async () => {
  const folder = testFolder();
  async function* broken(): Chunks {
    yield image;
    throw new VdiStreamError('SOURCE_READ', 'cable');
  }
  expect(await failure(stage(folder, streamCursor(broken())))).toMatchObject({ code: 'SOURCE_READ' });
  expect(openFilesIn(folder)).toEqual([]);
});
