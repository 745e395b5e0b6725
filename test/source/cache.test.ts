import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
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
import { describe, expect, test, vi } from 'vitest';
import { VdiStreamError } from '../../src/errors.ts';
import { ownerText, thisOwner } from '../../src/host/owner.ts';
import { cachedImage } from '../../src/source/cache.ts';
import type { Digest, Opener, Source, SourceOptions } from '../../src/source/source.ts';
import { collect, noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type CountedOpener, digestOf, failing, imageOpener, nameOf, stalling, use } from '../support/image-opener.ts';
import { testWith } from '../support/needs.ts';
import { openFilesIn } from '../support/open-files.ts';
import { imageServer, type Outcome, stagingProcesses } from '../support/staging-process.ts';
import { tinyFolder } from '../support/tiny-folder.ts';

const startProcess = stagingProcesses();

const MiB = 2 ** 20;
const image = Buffer.from(noise(300_000, 1));
const other = Buffer.from(noise(200_000, 2));

const entry = nameOf(digestOf(image));

/** Fails if the bytes are not those of `image`, or anything stays open. */
async function expectImage(from: Opener, folder: string, options: SourceOptions = {}, size = MiB): Promise<void> {
  const found = await use(from, folder, options, size);
  expect(found.equals(image)).toBe(true);
  expect(openFilesIn(folder)).toEqual([]);
}

describe('an image', () => {
  test('is fetched once, and kept under its checksum for this user only', async () => {
    const folder = join(testFolder(), 'made', 'by us');
    const opener = imageOpener(image, { name: 'http://server/image', length: image.length });
    await expectImage(opener, folder);
    expect(readdirSync(folder)).toEqual([entry]);
    expect(readFileSync(join(folder, entry)).equals(image)).toBe(true);
    expect([statSync(folder).mode & 0o777, statSync(join(folder, entry)).mode & 0o777]).toEqual([0o700, 0o600]);
    await expectImage(opener, folder);
    const source = await cachedImage(opener, { folder, size: MiB }).open({});
    expect(source).toMatchObject({ name: 'http://server/image', cursor: { seekable: true, position: 0, length: 300_000 } });
    expect(source.bytesRead()).toBe(0);
    expect(await source.isFile(join(folder, entry))).toBe(true);
    expect(await source.isFile('/dev/null')).toBe(false);
    await source.close();
    expect([opener.opened(), opener.closed()]).toEqual([1, 1]);
  });

  test.each(['md5', 'sha1', 'sha512', 'sha3-256', 'blake2b512'])('is kept by a checksum of the kind %s', async (algorithm) => {
    const folder = testFolder();
    const digest = digestOf(image, algorithm);
    const opener = imageOpener(image, { digest });
    await expectImage(opener, folder);
    await expectImage(opener, folder);
    expect(opener.opened()).toBe(1);
    expect(readdirSync(folder)).toEqual([nameOf(digest)]);
  });

  test('is found by the SHA-256 of the caller, wherever it came from', async () => {
    const folder = testFolder();
    await expectImage(imageOpener(image, { digest: undefined }), folder, { sha256: digestOf(image).hex.toUpperCase() });
    expect(readdirSync(folder)).toEqual([entry]);
    const sources = [
      imageOpener(image),
      imageOpener(image, { digest: undefined }),
      imageOpener(image, { digest: digestOf(image, 'sha512') }),
    ];
    for (const opener of sources) await expectImage(opener, folder, { sha256: digestOf(image).hex });
    expect(sources.map((opener) => opener.opened())).toEqual([0, 0, 0]);
    expect(readdirSync(folder)).toEqual([entry]);
  });

  test('that the server says more of than the caller is kept as the server says', async () => {
    const folder = testFolder();
    const digest = digestOf(image, 'sha512');
    await expectImage(imageOpener(image, { digest }), folder, { sha256: digestOf(image).hex });
    expect(readdirSync(folder)).toEqual([nameOf(digest)]);
  });

  const unnamed: readonly [string, Digest | undefined][] = [
    ['none', undefined],
    ['one of an unknown kind', { algorithm: 'sha999', hex: 'a'.repeat(64) }],
    ['one that is a path', { algorithm: 'sha256', hex: `../../${'a'.repeat(58)}` }],
    ['one that is empty', { algorithm: 'sha256', hex: '' }],
  ];
  test.each(unnamed)('without a checksum that can name a file is staged, and not kept: %s', async (_, digest) => {
    const folder = testFolder();
    const opener: Opener = { ...imageOpener(image, { digest: undefined }), describe: async () => ({ digest }) };
    const source = await cachedImage(opener, { folder, size: MiB }).open({});
    expect(source.cursor.seekable).toBe(true);
    expect(readdirSync(folder)).toEqual([]);
    await source.close();
    const { name, open } = imageOpener(image);
    await expectImage({ name, open }, folder); // nothing that could tell one
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each([image.length, undefined])(
    'larger than the cache is staged, costs no other image its place, and is not kept: length %s',
    async (length) => {
      const folder = testFolder();
      await use(imageOpener(other), folder);
      const opener = imageOpener(image, { length });
      await expectImage(opener, folder, {}, image.length - 1);
      expect(readdirSync(folder)).toEqual([nameOf(digestOf(other))]);
      await expectImage(opener, folder, {}, image.length);
      expect(readdirSync(folder)).toEqual([entry]);
    },
  );

  test('tells how far it has been fetched, or looked through', async () => {
    const folder = testFolder();
    for (const turn of ['fetched', 'found']) {
      const told: [number, number][] = [];
      const onRead = (...progress: [number, number]): number => told.push(progress);
      const source = await cachedImage(imageOpener(image, { length: 300_000 }), { folder, size: MiB }).open({ onRead });
      expect([turn, told.at(-1)]).toEqual([turn, [300_000, 300_000]]);
      await source.close();
    }
  });

  test('that is in use is read to its end, even if others take its place meanwhile', async () => {
    const folder = testFolder();
    await use(imageOpener(image), folder);
    const source = await cachedImage(imageOpener(image), { folder, size: MiB }).open({});
    await use(imageOpener(other), folder, {}, other.length);
    expect(readdirSync(folder)).toEqual([nameOf(digestOf(other))]);
    expect((await collect(source.cursor.chunks())).equals(image)).toBe(true);
    await source.close();
  });

  test('is fetched anew where the line is bad', async () => {
    const folder = testFolder();
    const bad = () => failing(image.subarray(0, 5000), new VdiStreamError('HTTP_RANGE', 'the line is bad'));
    const opener = imageOpener(image, { attempts: [bad, bad, bad] });
    await expectImage(opener, folder);
    expect([opener.opened(), opener.closed()]).toEqual([4, 4]);
    expect(readdirSync(folder)).toEqual([entry]);
  });
});

describe('an entry that is not what its name says is replaced without a word', () => {
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
    ['the length is not known', undefined],
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

  test('but a folder with something in it is left alone, and told', async () => {
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

describe('bytes that do not match are never given, and never kept', () => {
  test('when the server has others than it says', async () => {
    const folder = testFolder();
    const liar: Opener = { ...imageOpener(other, { digest: undefined }), describe: async () => ({ digest: digestOf(image) }) };
    expect(await failure(use(liar, folder))).toMatchObject({
      code: 'SOURCE_CHECKSUM',
      message: expect.stringContaining(digestOf(other).hex),
    });
    expect([readdirSync(folder), openFilesIn(folder)]).toEqual([[], []]);
  });

  test('when the caller wants others, and what is there stays there', async () => {
    const folder = testFolder();
    const opener = imageOpener(image, { digest: digestOf(image, 'sha512') });
    await expectImage(opener, folder);
    const error = await failure(use(opener, folder, { sha256: digestOf(other).hex }));
    expect(error).toMatchObject({ code: 'SOURCE_CHECKSUM', message: expect.stringContaining(digestOf(image).hex) });
    expect(opener.opened()).toBe(1);
    expect([readdirSync(folder), openFilesIn(folder)]).toEqual([[nameOf(digestOf(image, 'sha512'))], []]);
  });

  test('when the caller and the server want two of the same kind, and both are there', async () => {
    const folder = testFolder();
    await use(imageOpener(image), folder);
    await use(imageOpener(other), folder);
    const both = readdirSync(folder);
    const error = await failure(use(imageOpener(image), folder, { sha256: digestOf(other).hex }));
    expect(error).toMatchObject({ code: 'SOURCE_CHECKSUM' });
    expect(readdirSync(folder)).toEqual(both);
  });
});

describe('who gives up leaves nothing behind', () => {
  async function cancelled(opener: CountedOpener, folder: string): Promise<void> {
    const controller = new AbortController();
    const onRead = (): void => void setImmediate(() => controller.abort());
    expect(await failure(use(opener, folder, { signal: controller.signal, onRead }))).toMatchObject({ code: 'CANCELLED' });
    expect(opener.opened()).toBe(opener.closed());
    expect(openFilesIn(folder)).toEqual([]);
  }

  test('while it is fetched', async () => {
    const folder = testFolder();
    await cancelled(imageOpener(image, { attempts: [() => stalling(image)] }), folder);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('while an entry is looked through', async () => {
    const folder = testFolder();
    const large = noise(8 * MiB, 3);
    await use(imageOpener(large), folder, {}, 8 * MiB);
    const controller = new AbortController();
    const opening = use(imageOpener(large), folder, { signal: controller.signal, onRead: () => controller.abort() }, 8 * MiB);
    expect(await failure(opening)).toMatchObject({ code: 'CANCELLED' });
    expect([readdirSync(folder), openFilesIn(folder)]).toEqual([[nameOf(digestOf(large))], []]);
  });

  test('while another fetches the same image, which goes on', async () => {
    const folder = testFolder();
    const { url, proceed, asked } = await heldServer();
    const process = startProcess({ does: 'cached', url, folder, size: MiB, digest: digestOf(image) });
    await process.said('read');
    const controller = new AbortController();
    const opener = imageOpener(image);
    const opening = use(opener, folder, { signal: controller.signal });
    const refused = failure(opening);
    controller.abort();
    expect(await refused).toMatchObject({ code: 'CANCELLED' });
    proceed();
    expect(await process.done()).toEqual({ result: digestOf(image).hex });
    expect([opener.opened(), asked()]).toEqual([0, 1]);
    expect(readdirSync(folder)).toEqual([entry]);
  });
});

/** Gives a third of the image, and the rest when it is told to. */
async function heldServer() {
  const rests: (() => void)[] = [];
  const server = await imageServer(image, (response) => {
    response.write(image.subarray(0, 100_000));
    rests.push(() => response.end(image.subarray(100_000)));
  });
  const proceed = (): void => {
    for (const rest of rests.splice(0)) rest();
  };
  return { ...server, proceed };
}

describe('several processes at once', () => {
  test('fetch the same image once', async () => {
    const folder = testFolder();
    const { url, proceed, asked } = await heldServer();
    const task = { does: 'cached', url, folder, size: MiB, digest: digestOf(image) };
    const first = startProcess(task);
    await first.said('read');
    const others = [startProcess(task), startProcess(task)];
    for (const { said } of others) await said('owner');
    proceed();
    for (const { done } of [first, ...others]) expect(await done()).toEqual({ result: digestOf(image).hex });
    expect(asked()).toBe(1);
    expect(readdirSync(folder)).toEqual([entry]);
  });

  test('with room for three of their images: all succeed, and no more than fits is kept', async () => {
    const folder = testFolder();
    const images = Array.from({ length: 5 }, (_, seed) => noise(150_000, 10 + seed));
    const size = 3 * 150_000;
    const servers = await Promise.all(images.map((bytes) => imageServer(bytes)));
    const processes = Array.from({ length: 8 }, (_, index) => {
      const bytes = images[index % images.length] ?? image;
      const url = servers[index % images.length]?.url;
      return { bytes, process: startProcess({ does: 'cached', url, folder, size, digest: digestOf(bytes) }) };
    });
    for (const { bytes, process } of processes) expect(await process.done()).toEqual({ result: digestOf(bytes).hex });
    const names = readdirSync(folder);
    expect(images.map((bytes) => nameOf(digestOf(bytes)))).toEqual(expect.arrayContaining(names));
    expect(names.length).toBeGreaterThan(0);
    expect(names.length * 150_000).toBeLessThanOrEqual(size);
    for (const name of names) expect(nameOf(digestOf(readFileSync(join(folder, name))))).toBe(name);
  });

  test('within one process, too, fetch the same image once', async () => {
    const folder = testFolder();
    const opener = imageOpener(image);
    await Promise.all(Array.from({ length: 5 }, () => use(opener, folder)));
    expect(opener.opened()).toBe(1);
  });

  test('do not wait for a fetch that has failed for another', async () => {
    const folder = testFolder();
    const broken = imageOpener(image, { attempts: [() => failing(image.subarray(0, 10), new Error('cable'))] });
    let second: Promise<Buffer> | undefined;
    const onRead = (): void => {
      second ??= use(imageOpener(image), folder);
    };
    expect(await failure(use(broken, folder, { onRead }))).toMatchObject({ code: 'SOURCE_READ' });
    expect((await second)?.equals(image)).toBe(true);
  });
});

describe('in a folder that users share', () => {
  /** What another user than this one gets through the cache. */
  async function ofNobody(folder: string, size: number): Promise<{ readonly outcome: Outcome; readonly asked: number }> {
    const { url, asked } = await imageServer(image);
    const task = { does: 'cached', url, folder, size, digest: digestOf(image) };
    const outcome = await startProcess(task, ['setpriv', '--reuid=65534', '--clear-groups']).done();
    return { outcome, asked: asked() };
  }
  const fetched = { outcome: { result: digestOf(image).hex }, asked: 1 };

  testWith('root')('an entry that another user keeps for himself is replaced', async () => {
    const folder = testFolder();
    await use(imageOpener(image), folder);
    chmodSync(folder, 0o777);
    expect(await ofNobody(folder, MiB)).toEqual(fetched);
    expect([readdirSync(folder), statSync(join(folder, entry)).uid]).toEqual([[entry], 65_534]);
  });

  testWith('root')('entries that only another user may remove stay, and leave less room for others', async () => {
    const folder = testFolder();
    await use(imageOpener(other), folder);
    chmodSync(folder, 0o1777);
    expect(await ofNobody(folder, other.length + image.length - 1)).toEqual(fetched);
    expect(readdirSync(folder)).toEqual([nameOf(digestOf(other))]);
    expect(await ofNobody(folder, other.length + image.length)).toEqual(fetched);
    expect(readdirSync(folder).sort()).toEqual([entry, nameOf(digestOf(other))].sort());
  });
});

test('of a process that is killed while it fills the cache, the next use leaves nothing', async () => {
  const folder = testFolder();
  const { url } = await heldServer();
  const fetching = startProcess({ does: 'cached', url, folder, size: MiB, digest: digestOf(image) });
  const owner = await fetching.said('owner');
  await fetching.said('read');
  await vi.waitFor(() => expect(readdirSync(folder)).toEqual([expect.stringContaining(owner)]), 60_000);
  const alive = `.vdistream-${ownerText(thisOwner())}-01234567-89ab-cdef-0123-456789abcdef`;
  writeFileSync(join(folder, alive), 'of this process');
  await fetching.kill();
  expect(readdirSync(folder)).toHaveLength(2);
  const opener = imageOpener(image);
  await expectImage(opener, folder);
  expect(readdirSync(folder).sort()).toEqual([alive, entry].sort());
  expect(opener.opened()).toBe(1);
});

describe('a cache that cannot be used', () => {
  test('because its folder is a file, or in one', async () => {
    const file = join(testFolder(), 'file');
    writeFileSync(file, '');
    expect(await failure(use(imageOpener(image), file))).toMatchObject({ code: 'CACHE', errno: 17 });
    expect(await failure(use(imageOpener(image), join(file, 'inside')))).toMatchObject({ code: 'CACHE', errno: 20 });
  });

  testWith('root')('because it can only be read', async () => {
    const folder = tinyFolder(MiB);
    folder.makeReadOnly();
    const opener = imageOpener(image);
    expect(await failure(use(opener, folder.path))).toMatchObject({ code: 'CACHE', errno: 30 });
    expect(opener.opened()).toBe(0);
  });

  test.each([Number.NaN, -1])('because its size is %s', async (size) => {
    expect(await failure(use(imageOpener(image), testFolder(), {}, size))).toMatchObject({ code: 'USAGE' });
  });

  test('because the folder is taken away while it is filled', async () => {
    const folder = join(testFolder(), 'cache');
    const opener = imageOpener(image);
    const opening = use(opener, folder, { onRead: () => rmSync(folder, { recursive: true, force: true }) });
    expect(await failure(opening)).toMatchObject({ code: 'CACHE', errno: 2 });
    expect([opener.opened(), opener.closed()]).toEqual([1, 1]);
  });
});

test('an image whose file somebody takes away while it is fetched is used all the same', async () => {
  const folder = testFolder();
  const clear = (): void => {
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
  };
  const source: Source = await cachedImage(imageOpener(image), { folder, size: MiB }).open({ onRead: clear });
  expect((await collect(source.cursor.chunks())).equals(image)).toBe(true);
  await source.close();
});
