/** A VHD together with the plain model of what it means, and the reading of one into plain bytes. */

import fc from 'fast-check';
import { expect } from 'vitest';
import type { Disk } from '../../src/disk/disk.ts';
import type { Extent } from '../../src/disk/extent.ts';
import { type CountedBuffers, plainBuffers } from './buffers.ts';
import { noise } from './chunks.ts';
import { dynamicVhd } from './make-vhd.mjs';

const SECTOR = 512;

export interface DiskPlan {
  readonly blockSize: number;
  /** Virtual size in bytes, any number of sectors. */
  readonly size: number;
  /** Allocated blocks in the order of the file. */
  readonly order: readonly number[];
  readonly bitmaps: 'full' | 'random' | 'sparse';
  readonly gap: number;
  /** Entries of the table beyond what the size needs. */
  readonly spare: number;
  /** If the last block of a disk that is not a multiple of its block size is last in the file, it is cut to the end of the disk. */
  readonly short: boolean;
  readonly shortFooter: boolean;
  readonly seed: number;
}

export interface Model {
  readonly vhd: Buffer;
  readonly content: Uint8Array;
}

/** The format's own meaning: an absent block is zero, and so is a sector whose bit (most significant first) is clear. */
export function makeDisk(plan: DiskPlan): Model {
  const { blockSize, size, order } = plan;
  const content = new Uint8Array(size);
  const blocks = new Map<number, Uint8Array>();
  const bitmaps = new Map<number, Uint8Array>();
  for (const block of order) {
    const data = noise(blockSize, plan.seed + block); // garbage under clear bits too
    const bitmap = new Uint8Array(Math.ceil(Math.ceil(blockSize / SECTOR / 8) / SECTOR) * SECTOR).fill(0xff);
    if (plan.bitmaps !== 'full') bitmap.set(noise(bitmap.length, plan.seed * 31 + block));
    if (plan.bitmaps === 'sparse') for (const [at, byte] of bitmap.entries()) bitmap[at] = byte & (byte << 3) & (byte >>> 2);
    blocks.set(block, data);
    bitmaps.set(block, bitmap);
    for (let sector = 0; sector * SECTOR < blockSize; sector++) {
      const at = block * blockSize + sector * SECTOR;
      if (at >= size || Math.floor((bitmap[sector >> 3] ?? 0) / 2 ** (7 - (sector % 8))) % 2 === 0) continue;
      content.set(data.subarray(sector * SECTOR, (sector + 1) * SECTOR), at);
    }
  }
  const needed = Math.ceil(size / blockSize);
  const cut = plan.short && order.at(-1) === needed - 1 ? needed * blockSize - size : 0;
  const vhd = dynamicVhd({ size, blocks, bitmaps, blockSize, order: [...order], gap: plan.gap, tableEntries: needed + plan.spare, cut });
  return { vhd: plan.shortFooter ? vhd.subarray(0, -1) : vhd, content };
}

/** Small disks with every liberty that the format leaves to a producer. */
export const diskPlans: fc.Arbitrary<DiskPlan> = fc
  .record({ blockSize: fc.integer({ min: 9, max: 16 }).map((power) => 2 ** power), blocks: fc.integer({ min: 1, max: 12 }) })
  .chain(({ blockSize, blocks }) =>
    fc.record({
      blockSize: fc.constant(blockSize),
      size: fc.integer({ min: 1, max: blockSize / SECTOR }).map((sectors) => (blocks - 1) * blockSize + sectors * SECTOR),
      order: fc.oneof(fc.shuffledSubarray([...Array(blocks).keys()]), fc.subarray([...Array(blocks).keys()])),
      bitmaps: fc.constantFrom('full', 'random', 'sparse'),
      gap: fc.integer({ min: 0, max: 10 }),
      spare: fc.integer({ min: 0, max: 300 }),
      short: fc.boolean(),
      shortFooter: fc.boolean(),
      seed: fc.nat(),
    }),
  );

/**
 * Reads a disk as a consumer may: several extents held at once where `ahead` allows it, released in any order. Checks the
 * partition rule on the way: every byte of [0, virtualSize) in one extent, and no byte in two.
 */
export async function readDisk(disk: Disk, buffers: CountedBuffers = plainBuffers(), ahead = 0): Promise<Uint8Array> {
  const content = new Uint8Array(disk.virtualSize);
  const covered = new Uint8Array(disk.virtualSize / SECTOR);
  const held: Extent[] = [];

  async function settle(extent: Extent | undefined): Promise<void> {
    if (extent?.kind !== 'data') return;
    await extent.ready;
    content.set(extent.bytes, extent.offset);
    extent.release();
  }

  for await (const extent of disk.extents(buffers)) {
    expect(extent.offset % SECTOR, 'an extent begins at a sector').toBe(0);
    expect(extent.length > 0 && extent.length % SECTOR === 0, 'an extent is whole sectors').toBe(true);
    expect(extent.offset + extent.length, 'an extent lies on the disk').toBeLessThanOrEqual(disk.virtualSize);
    if (extent.kind === 'data') expect(extent.bytes.length).toBe(extent.length);
    for (let at = extent.offset / SECTOR; at < (extent.offset + extent.length) / SECTOR; at++) covered[at] = (covered[at] ?? 0) + 1;
    held.push(extent);
    if (held.length > ahead) await settle(held.splice(held.length - 1 - (extent.offset % 3 === 0 ? 0 : ahead), 1)[0]);
  }
  for (const extent of held) await settle(extent);
  expect(
    covered.findIndex((times) => times !== 1),
    'the first sector that is in no extent, or in two',
  ).toBe(-1);
  expect(buffers.held, 'buffers still held').toBe(0);
  return content;
}
