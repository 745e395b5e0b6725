import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { VdiStreamError } from '../../src/errors.ts';
import { cachedImage } from '../../src/source/cache.ts';
import type { Digest, Opener, Source } from '../../src/source/source.ts';
import { entry, expectImage, image, MiB, other } from '../support/cached-image.ts';
import { collect } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { digestOf, failing, imageOpener, nameOf, use } from '../support/image-opener.ts';
import { testWith } from '../support/needs.ts';
import { tinyFolder } from '../support/tiny-folder.ts';

describe('an image', () => {
  test('is fetched once, and stored under its checksum, readable by this user only', async () => {
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
    expect(await source.sharesBytesWith(join(folder, entry))).toBe(true);
    expect(await source.sharesBytesWith('/dev/null')).toBe(false);
    await source.close();
    expect([opener.opened(), opener.closed()]).toEqual([1, 1]);
  });

  test.each(['md5', 'sha1', 'sha512', 'sha3-256', 'blake2b512'])('can be stored under a checksum of type %s', async (algorithm) => {
    const folder = testFolder();
    const digest = digestOf(image, algorithm);
    const opener = imageOpener(image, { digest });
    await expectImage(opener, folder);
    await expectImage(opener, folder);
    expect(opener.opened()).toBe(1);
    expect(readdirSync(folder)).toEqual([nameOf(digest)]);
  });

  test('is found by the caller’s SHA-256, wherever it came from', async () => {
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

  test('for which the server has a stronger checksum than the caller is stored under the server’s', async () => {
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
  test.each(unnamed)('without a checksum that can name a file is staged and not kept: %s', async (_, digest) => {
    const folder = testFolder();
    const opener: Opener = { ...imageOpener(image, { digest: undefined }), describe: async () => ({ digest }) };
    const source = await cachedImage(opener, { folder, size: MiB }).open({});
    expect(source.cursor.seekable).toBe(true);
    expect(readdirSync(folder)).toEqual([]);
    await source.close();
    const { name, open } = imageOpener(image);
    await expectImage({ name, open }, folder); // nothing that could report a length
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each([image.length, undefined])(
    'larger than the cache is staged, evicts no other image, and is not kept: length %s',
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

  test('reports how much has been fetched or checked', async () => {
    const folder = testFolder();
    for (const way of ['fetched', 'found']) {
      const reported: [number, number][] = [];
      const onRead = (...progress: [number, number]): number => reported.push(progress);
      const source = await cachedImage(imageOpener(image, { length: 300_000 }), { folder, size: MiB }).open({ onRead });
      expect([way, reported.at(-1)]).toEqual([way, [300_000, 300_000]]);
      await source.close();
    }
  });

  test('that is in use is read to the end, even if it is evicted meanwhile', async () => {
    const folder = testFolder();
    await use(imageOpener(image), folder);
    const source = await cachedImage(imageOpener(image), { folder, size: MiB }).open({});
    await use(imageOpener(other), folder, {}, other.length);
    expect(readdirSync(folder)).toEqual([nameOf(digestOf(other))]);
    expect((await collect(source.cursor.chunks())).equals(image)).toBe(true);
    await source.close();
  });

  test('is fetched again after a bad connection', async () => {
    const folder = testFolder();
    const bad = () => failing(image.subarray(0, 5000), new VdiStreamError('HTTP_RANGE', 'the line is bad'));
    const opener = imageOpener(image, { attempts: [bad, bad, bad] });
    await expectImage(opener, folder);
    expect([opener.opened(), opener.closed()]).toEqual([4, 4]);
    expect(readdirSync(folder)).toEqual([entry]);
  });
});

describe('a cache cannot be used', () => {
  test('because its folder is a file, or inside a file', async () => {
    const file = join(testFolder(), 'file');
    writeFileSync(file, '');
    expect(await failure(use(imageOpener(image), file))).toMatchObject({ code: 'CACHE', errno: 17 });
    expect(await failure(use(imageOpener(image), join(file, 'inside')))).toMatchObject({ code: 'CACHE', errno: 20 });
  });

  testWith('root')('because it is read-only', async () => {
    const folder = tinyFolder(MiB);
    folder.makeReadOnly();
    const opener = imageOpener(image);
    expect(await failure(use(opener, folder.path))).toMatchObject({ code: 'CACHE', errno: 30 });
    expect(opener.opened()).toBe(0);
  });

  test.each([Number.NaN, -1])('because its size is %s', async (size) => {
    expect(await failure(use(imageOpener(image), testFolder(), {}, size))).toMatchObject({ code: 'USAGE' });
  });

  test('because the folder is removed while it is filled', async () => {
    const folder = join(testFolder(), 'cache');
    const opener = imageOpener(image);
    const opening = use(opener, folder, { onRead: () => rmSync(folder, { recursive: true, force: true }) });
    expect(await failure(opening)).toMatchObject({ code: 'CACHE', errno: 2 });
    expect([opener.opened(), opener.closed()]).toEqual([1, 1]);
  });
});

test('an image whose file is removed while it is fetched is used anyway', async () => {
  const folder = testFolder();
  const clear = (): void => {
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
  };
  const source: Source = await cachedImage(imageOpener(image), { folder, size: MiB }).open({ onRead: clear });
  expect((await collect(source.cursor.chunks())).equals(image)).toBe(true);
  await source.close();
});
