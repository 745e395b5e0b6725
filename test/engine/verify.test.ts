import { writeFileSync } from 'node:fs';
import { open, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createPool, emptySums, verifySums } from '../../src/blocks.ts';
import { native } from '../../src/host/native.ts';
import { deviceTarget, verifyDisk, writeDisk } from '../../src/index.ts';
import { countedTarget } from '../support/counted-target.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';

const MIB = 1 << 20;
const TIB = MIB * MIB;

/** A disk of 64 MiB with data in blocks 1, 3 and 30. */
function image(folder: string): string {
  const path = join(folder, 'image.vhd');
  const block = (seed: number): Buffer => Buffer.alloc(2 * MIB, `block ${seed} `);
  const blocks = new Map([1, 3, 30].map((number) => [number, block(number)]));
  writeFileSync(path, dynamicVhd({ size: 64 * MIB, blocks }));
  return path;
}

async function flip(path: string, offset: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await file.write(byte, 0, 1, offset);
  await file.close();
}

test('a target that holds the image passes, and the result says how much was compared', async () => {
  const folder = testFolder();
  const target = join(folder, 'disk.raw');
  await writeDisk(image(folder), target, { verify: true });
  await expect(verifyDisk(image(folder), target)).resolves.toMatchObject({ verified: true, bytesCompared: 64 * MIB });
});

test.each([
  ['inside data', 3 * 2 * MIB + 12_345],
  ['where the disk is empty', 20 * MIB + 1],
  ['in the very last byte', 64 * MIB - 1],
])('a byte changed %s is reported with its offset', async (_where, offset) => {
  const folder = testFolder();
  const target = join(folder, 'disk.raw');
  await writeDisk(image(folder), target);
  await flip(target, offset);
  await expect(verifyDisk(image(folder), target)).rejects.toMatchObject({ code: 'VERIFY_MISMATCH', exitCode: 4, offset, device: target });
});

test('verifying never waits for a buffer that the image itself holds, however many blocks there are', async () => {
  const folder = testFolder();
  const source = join(folder, 'many.vhd');
  writeFileSync(source, fixedVhd(Buffer.alloc(80 * MIB, 'data')));
  const target = join(folder, 'disk.raw');
  await writeDisk(source, target);
  await expect(verifyDisk(source, target)).resolves.toMatchObject({ bytesCompared: 80 * MIB });
});

test('a target shorter than the disk is refused before anything is compared', async () => {
  const folder = testFolder();
  const target = join(folder, 'disk.raw');
  await writeDisk(image(folder), target);
  await truncate(target, 32 * MIB);
  await expect(verifyDisk(image(folder), target)).rejects.toMatchObject({ code: 'TARGET_SMALL' });
});

test('the checksum of a sector is its XXH64 seeded with its number, and zero for a sector of zeros', () => {
  const sum = (sector: Buffer, number: number): bigint => {
    const sums = new BigUint64Array(1);
    native().addSums(sums, sector, number * 512);
    return sums[0] ?? 0n;
  };
  // What `xxhsum -H64` of the reference implementation says of these 512 bytes; its seed is 0.
  expect(sum(Buffer.alloc(512), 5)).toBe(0n);
  expect(sum(Buffer.alloc(512, 'vdistream'), 0)).toBe(0xaa3cf66a3b459522n);
});

test('the checksums of a disk do not depend on chunk boundaries, and change if two sectors are swapped', () => {
  const disk = Buffer.alloc(4096, 0);
  disk.fill('a', 0, 512);
  disk.fill('b', 512, 1024);
  const whole = new BigUint64Array(1);
  native().addSums(whole, disk, 0);
  const cut = new BigUint64Array(1);
  for (const at of [3584, 512, 0, 2048, 1024]) native().addSums(cut, disk.subarray(at, at + 512), at);
  expect(cut).toEqual(whole);

  const swapped = new BigUint64Array(1);
  native().addSums(swapped, disk.subarray(512, 1024), 0);
  native().addSums(swapped, disk.subarray(0, 512), 512);
  expect(swapped).not.toEqual(whole);
});

/** The first, some middle and the last block of 1 TiB. */
const SPARSE_BLOCKS = [0, 1, 300_000, TIB / (2 * MIB) - 1];

/** A disk of 1 TiB with data in these blocks. */
function sparseImage(folder: string): string {
  const path = join(folder, 'sparse.vhd');
  const blocks = new Map(SPARSE_BLOCKS.map((number) => [number, Buffer.alloc(2 * MIB, `block ${number} `)]));
  writeFileSync(path, dynamicVhd({ size: TIB, blocks }));
  return path;
}

// Only the addon can ask for holes.
const holeTest = testWith('addon');

describe('the holes of a file of 1 TiB', () => {
  holeTest('are not read by --verify', async () => {
    const folder = testFolder();
    const { opener, counts } = countedTarget(join(folder, 'disk.raw'));
    await expect(writeDisk(sparseImage(folder), opener, { verify: true })).resolves.toMatchObject({ verified: true });
    expect(counts.bytesRead).toBeGreaterThanOrEqual(8 * MIB);
    expect(counts.bytesRead).toBeLessThanOrEqual(16 * MIB);
  });

  holeTest('are not read by verify, and data where the disk is empty is found between them', async () => {
    const folder = testFolder();
    const path = join(folder, 'disk.raw');
    const source = sparseImage(folder);
    await writeDisk(source, path);
    const { opener, counts } = countedTarget(path);
    await expect(verifyDisk(source, opener)).resolves.toMatchObject({ verified: true, bytesCompared: TIB });
    expect(counts.bytesRead).toBeGreaterThanOrEqual(8 * MIB);
    expect(counts.bytesRead).toBeLessThanOrEqual(16 * MIB);
    await flip(path, 700_000_000_123);
    await expect(verifyDisk(source, path)).rejects.toMatchObject({ code: 'VERIFY_MISMATCH', offset: 700_000_000_123 });
  });

  holeTest('are a mismatch where the disk has data', async () => {
    const folder = testFolder();
    const path = join(folder, 'disk.raw');
    writeFileSync(path, '');
    await truncate(path, TIB);
    // The blocks are compared at the same time.
    const starts = SPARSE_BLOCKS.map((block) => block * 2 * MIB);
    const { code, offset } = await failure(verifyDisk(sparseImage(folder), path));
    expect([code, starts.includes(offset ?? -1)]).toEqual(['VERIFY_MISMATCH', true]);
    const sums = emptySums(TIB);
    sums[150_000] = 1n;
    const target = await deviceTarget(path).open({ size: TIB, purpose: 'compare' });
    await expect(verifySums(target, TIB, sums, { pool: createPool() })).rejects.toMatchObject({
      code: 'VERIFY_MISMATCH',
      offset: 150_000 * 2 * MIB,
    });
    await target.close();
  });
});
