import { mkdirSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cachedImage } from '../../src/source/cache.ts';
import { collect, noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { digestOf, imageOpener, nameOf, use } from '../support/image-opener.ts';
import { testWith } from '../support/needs.ts';
import { tinyFolder } from '../support/tiny-folder.ts';

const MiB = 2 ** 20;
const image = Buffer.from(noise(300_000, 1));
const other = Buffer.from(noise(200_000, 2));
const entry = nameOf(digestOf(image));

describe('the images evicted first are', () => {
  /** The model: the least recently used first, until the rest fits. Resolves to those that are left. */
  function model(kept: readonly number[], used: number, sizes: readonly number[], size: number): number[] {
    if ((sizes[used] ?? 0) > size) return [...kept];
    const left = [...kept.filter((index) => index !== used), used];
    const fetched = !kept.includes(used);
    while (fetched && left.reduce((sum, index) => sum + (sizes[index] ?? 0), 0) > size) left.shift();
    return left;
  }

  test('the least recently used ones, whatever the order of use', async () => {
    const programs = fc.record({
      sizes: fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 2, maxLength: 6 }),
      size: fc.integer({ min: 0, max: 6000 }),
      uses: fc.array(fc.nat(5), { minLength: 1, maxLength: 25 }),
    });
    await fc.assert(
      fc.asyncProperty(programs, async ({ sizes, size, uses }) => {
        const folder = testFolder();
        // Of one size there may be several.
        const images = sizes.map((length, index) => Buffer.concat([noise(length, index), Buffer.from([index])]));
        const lengths = images.map(({ length }) => length);
        const openers = images.map((bytes) => imageOpener(bytes));
        let kept: number[] = [];
        for (const use_ of uses) {
          const index = use_ % images.length;
          const [opener, bytes] = [openers[index], images[index]];
          if (opener === undefined || bytes === undefined) throw new RangeError('no such image');
          const before = opener.opened();
          const wasKept = kept.includes(index);
          expect((await use(opener, folder, {}, size)).equals(bytes)).toBe(true);
          kept = model(kept, index, lengths, size);
          expect(opener.opened() - before).toBe(wasKept ? 0 : 1);
          expect(readdirSync(folder).sort()).toEqual(kept.map((one) => nameOf(digestOf(images[one] ?? image))).sort());
        }
        rmSync(folder, { recursive: true });
      }),
      { numRuns: 60 },
    );
  });

  test('by name among those with the same time', async () => {
    const folder = testFolder();
    const images = [10, 11, 12].map((seed) => noise(1000, seed));
    const names = images.map((bytes) => nameOf(digestOf(bytes))).sort();
    for (const bytes of images) await use(imageOpener(bytes), folder, {}, 3000);
    for (const name of names) utimesSync(join(folder, name), 1_000_000, 1_000_000);
    await use(imageOpener(noise(1000, 13)), folder, {}, 3000);
    expect(readdirSync(folder)).not.toContain(names[0]);
    expect(readdirSync(folder)).toHaveLength(3);
  });

  test('not those just used, even if the clock has been set back', async () => {
    const folder = testFolder();
    const [a, b, c] = [20, 21, 22].map((seed) => noise(1000, seed)) as [Uint8Array, Uint8Array, Uint8Array];
    await use(imageOpener(a), folder, {}, 2000);
    await use(imageOpener(b), folder, {}, 2000);
    const future = Date.now() / 1000 + 86_400;
    utimesSync(join(folder, nameOf(digestOf(b))), future, future);
    await use(imageOpener(a), folder, {}, 2000);
    await use(imageOpener(c), folder, {}, 2000);
    expect(readdirSync(folder).sort()).toEqual([a, c].map((bytes) => nameOf(digestOf(bytes))).sort());
  });

  test('never other files, which do not count against the size either', async () => {
    const folder = testFolder();
    const names = [
      'notes',
      'sha256-xyz',
      `sha256-${'A'.repeat(64)}`,
      `image-${'a'.repeat(64)}`,
      `${entry}.old`,
      '.vdistream-x',
      `x${entry}`,
    ];
    for (const name of names) writeFileSync(join(folder, name), image);
    mkdirSync(join(folder, `sha256-${'b'.repeat(64)}`));
    symlinkSync('notes', join(folder, `sha256-${'c'.repeat(64)}`));
    const before = readdirSync(folder);
    await use(imageOpener(image), folder, {}, image.length);
    await use(imageOpener(other), folder, {}, image.length);
    expect(readdirSync(folder).sort()).toEqual([...before, nameOf(digestOf(other))].sort());
  });
});

describe('a file system without enough room', () => {
  testWith('root')('evicts only as many of the least recently used images as needed', async () => {
    const { path, room } = tinyFolder(MiB);
    const images = [30, 31, 32].map((seed) => noise(300_000, seed));
    for (const bytes of images) await use(imageOpener(bytes), path, {}, 10 * MiB);
    expect(room()).toBeLessThan(200_000);
    await use(imageOpener(other, { length: other.length }), path, {}, 10 * MiB);
    const left = [...images.slice(1), other].map((bytes) => nameOf(digestOf(bytes)));
    expect(readdirSync(path).sort()).toEqual(left.sort());
  });

  testWith('root')('evicts other images while one is read, which keeps its room', async () => {
    const { path, room } = tinyFolder(MiB);
    const [first, second, third] = [30, 31, 32].map((seed) => noise(300_000, seed)) as [Uint8Array, Uint8Array, Uint8Array];
    const reading = await cachedImage(imageOpener(first), { folder: path, size: 10 * MiB }).open({});
    for (const bytes of [second, third]) await use(imageOpener(bytes), path, {}, 10 * MiB);
    expect(room()).toBeLessThan(200_000);
    await use(imageOpener(other, { length: other.length }), path, {}, 10 * MiB);
    expect(readdirSync(path).sort()).toEqual([third, other].map((bytes) => nameOf(digestOf(bytes))).sort());
    expect((await collect(reading.cursor.chunks())).equals(first)).toBe(true);
    await reading.close();
  });

  testWith('root')('is reported with both sizes before the first byte if eviction cannot help, and no image is evicted', async () => {
    const { path, room } = tinyFolder(MiB);
    await use(imageOpener(image), path);
    const free = room() - 4096; // the lock file takes a page of this file system
    const opener = imageOpener(noise(2 * MiB, 4), { length: 2 * MiB });
    const error = await failure(use(opener, path, {}, 10 * MiB));
    expect(error).toMatchObject({ code: 'CACHE', message: expect.stringMatching(new RegExp(`\\b${free} bytes.*\\b2097152\\b`)) });
    expect([opener.begun(), readdirSync(path)]).toEqual([0, [entry]]);
  });

  testWith('root')('is reported once it is full if the length is unknown, and nothing is left', async () => {
    const { path, room } = tinyFolder(MiB);
    await use(imageOpener(image), path);
    const free = room();
    const error = await failure(use(imageOpener(noise(2 * MiB, 4)), path, {}, 10 * MiB));
    expect(error).toMatchObject({ code: 'CACHE', errno: 28, message: expect.stringMatching(/ENOSPC.*use another folder/) });
    expect([room(), readdirSync(path)]).toEqual([free, [entry]]);
  });
});
