/** What images cost, in calls on the target and in extents that pass through the pipeline: counted, since time depends on the machine. */

import { truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { createPool, decodeVhd, type Extent, type Layer, openSource, overlay, pump } from '../../src/blocks.ts';
import { type DiskInput, verifyDisk, writeDisk } from '../../src/index.ts';
import { fileCursor } from '../../src/source/file.ts';
import { checkVhd } from '../../src/vhd/check.ts';
import { noise, reusing } from '../support/chunks.ts';
import { countedTarget } from '../support/counted-target.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { memoryTarget } from '../support/memory-target.ts';
import { tarOf } from '../support/tar.ts';
import { chainVhds, createStack, SECTOR, shuffle } from '../support/vhd-model.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const size = 4 * MIB;
const content = Buffer.from(noise(size, 5));

/** Blocks of one sector, in random order. */
function tinyBlocks(): Buffer {
  const blocks = new Map(
    Array.from({ length: size / SECTOR }, (_, block) => [block, content.subarray(block * SECTOR, (block + 1) * SECTOR)]),
  );
  return dynamicVhd({ size, blockSize: SECTOR, blocks, order: shuffle([...blocks.keys()], 3) });
}

/** A base, and a leaf that has every other sector. */
function alternating(): { readonly vhds: readonly [leaf: Buffer, base: Buffer]; readonly content: Buffer } {
  const stack = createStack({ kind: 'dynamic', size: size / SECTOR, blockSize: 2 * MIB });
  stack.write(0, stack.size);
  stack.snapshot();
  for (let sector = 0; sector < stack.size; sector += 2) stack.write(sector, 1);
  const [leaf = Buffer.alloc(0), base = Buffer.alloc(0)] = chainVhds(stack.layers);
  return { vhds: [leaf, base], content: stack.content() };
}

function saved(name: string, bytes: Uint8Array): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

/** With one byte changed. */
const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));

const leafFirst = ([leaf, base]: readonly [Buffer, Buffer]): Buffer =>
  tarOf([
    ['0.vhd', leaf],
    ['1.vhd', base],
  ]);

const SOURCES = ['file', 'pipe'] as const;

describe.each(SOURCES)('from a %s', (source) => {
  const inputOf = (bytes: Uint8Array): DiskInput => (source === 'file' ? saved('image', bytes) : reusing(bytes, [70_000]));

  test.each([
    ['blocks of a sector in random order', () => ({ image: tinyBlocks(), expected: content })],
    [
      'every other sector over a base',
      () => {
        const { vhds, content: expected } = alternating();
        return { image: leafFirst(vhds), expected };
      },
    ],
  ])('%s are written and verified with a few calls for each MiB', async (_name, make) => {
    const { image, expected } = make();
    const path = saved('disk.raw', new Uint8Array(0));
    const written = countedTarget(path);
    await writeDisk(inputOf(image), written.opener);
    expect(written.counts.writes + written.counts.reads).toBeLessThanOrEqual(4 * (size / MIB));
    const compared = countedTarget(path);
    await verifyDisk(inputOf(image), compared.opener);
    expect(compared.counts.reads).toBeLessThanOrEqual(2 * (size / MIB));
    expect(compared.counts.bytesRead).toBeLessThanOrEqual(2 * size);
    const other = saved('other.raw', flipped(expected, 5859 * SECTOR));
    expect(await failure(verifyDisk(inputOf(image), other))).toMatchObject({ code: 'VERIFY_MISMATCH', offset: 5859 * SECTOR });
  });

  test('blocks of 2 MiB are written with one call each, and the target is not read', async () => {
    const blocks = new Map([1, 3, 4, 7, 9].map((block) => [block, noise(2 * MIB, block)]));
    const image = dynamicVhd({ size: 24 * MIB, blocks });
    const path = saved('disk.raw', new Uint8Array(0));
    const { opener, counts } = countedTarget(path);
    const { bytesWritten } = await writeDisk(inputOf(image), opener, { pool: createPool({ size: 2 * MIB }) });
    expect(counts).toEqual({ reads: 0, bytesRead: 0, writes: bytesWritten / (2 * MIB), bytesWritten });
  });

  test('blocks that are adjacent on the disk and in the file are written together', async () => {
    const blocks = new Map([4, 5, 6, 7].map((block) => [block, noise(2 * MIB, block)]));
    const image = dynamicVhd({ size: 24 * MIB, blocks });
    const { opener, counts } = countedTarget(saved('disk.raw', new Uint8Array(0)));
    await writeDisk(inputOf(image), opener, { pool: createPool({ size: 8 * MIB }) });
    expect(counts).toMatchObject({ reads: 0, writes: 1 });
  });
});

describe('small extents reach the pump without being yielded', () => {
  async function* counted<T>(extents: AsyncGenerator<Extent, T, void>, yielded: () => void): AsyncGenerator<Extent, T, void> {
    let next = await extents.next();
    for (; !next.done; next = await extents.next()) {
      yielded();
      yield next.value;
    }
    return next.value;
  }

  test('those of tiny blocks', async () => {
    const pool = createPool({ size: 2 * MIB });
    const source = await openSource(saved('image', tinyBlocks()));
    const disk = await decodeVhd(source.cursor);
    const target = memoryTarget({ size, rewrites: true });
    let yielded = 0;
    await pump((tap) => counted(disk.extents(pool, { tap }), () => yielded++), target, { size, pool });
    await source.close();
    expect(target.content().equals(content)).toBe(true);
    // One for each buffer that is filled.
    expect(yielded).toBeLessThanOrEqual(8);
    expect(pool.free).toBe(pool.count);
  });

  test.each(['leaf first', 'base first'])('those of a chain, %s', async (order) => {
    const { vhds, content: expected } = alternating();
    const pool = createPool({ size: 2 * MIB });
    const sources = await Promise.all(vhds.map((vhd, rank) => openSource(saved(`${rank}`, vhd))));
    async function* layers(): AsyncGenerator<Layer> {
      const ranked = [...sources.entries()];
      for (const [rank, { cursor }] of order === 'leaf first' ? ranked : ranked.reverse()) yield { ...(await decodeVhd(cursor)), rank };
    }
    const target = memoryTarget({ size, rewrites: true });
    let yielded = 0;
    await pump((tap) => counted(overlay(layers(), pool, { size, tap }), () => yielded++), target, { size, pool });
    for (const source of sources) await source.close();
    expect(target.content().equals(expected)).toBe(true);
    expect(yielded).toBeLessThanOrEqual(16);
    expect(pool.free).toBe(pool.count);
  });
});

test('the bitmaps of tiny blocks are checked with a read for many of them', async () => {
  const image = tinyBlocks();
  const file = await open(saved('image', image));
  const readv = vi.spyOn(file, 'readv');
  const faults: Error[] = [];
  const cursor = fileCursor(file, image.length, 'image', () => {});
  await checkVhd(cursor, { fault: (error) => faults.push(error), warn: () => {}, now: 0 });
  expect(faults).toEqual([]);
  expect(readv.mock.calls.length).toBeLessThanOrEqual(image.length / (32 * KIB));
  await file.close();
});

test('a byte that differs between sectors that are compared later is not forgotten', async () => {
  const { vhds, content: expected } = alternating();
  const [leaf, base] = vhds;
  const image = tarOf([
    ['1.vhd', base],
    ['0.vhd', leaf],
  ]);
  const sector = 101 * SECTOR;
  const target = saved('disk.raw', flipped(expected, sector + 7));
  expect(await failure(verifyDisk(reusing(image, [70_000]), target, { virtualSize: size }))).toMatchObject({
    code: 'VERIFY_MISMATCH',
    offset: sector,
  });
});

test('a target smaller than a disk of tiny blocks, with the guard lifted, is verified up to its end', async () => {
  const image = saved('image', tinyBlocks());
  const target = saved('disk.raw', content);
  truncateSync(target, 3 * MIB);
  expect(await failure(verifyDisk(image, target, { force: ['size'] }))).toMatchObject({ code: 'TARGET_FULL' });
});
