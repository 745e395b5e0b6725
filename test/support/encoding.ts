/** Disks made of runs, for encoders under test, and the reading of VHDs by the specification: nothing here is shared with `src/vhd/`. */

import fc from 'fast-check';
import type { Disk, DiskEnd, Range } from '../../src/disk/disk.ts';
import type { Extent } from '../../src/disk/extent.ts';
import { noise } from './chunks.ts';

const SECTOR = 512;

/** A run of a disk. `data` may be all zero; `seed` 0 makes it so. */
export interface Run extends Range {
  readonly kind: 'data' | 'zero' | 'hole';
  readonly seed: number;
}

/** Bytes of a run: no two sectors are equal, and none is zero, unless the seed is. */
export function runBytes({ offset, length, seed }: Run): Uint8Array {
  const bytes = new Uint8Array(length);
  if (seed === 0) return bytes;
  for (let at = 0; at < length; at += SECTOR) {
    bytes.set(noise(16, seed + (offset + at) / SECTOR), at + ((seed * 7) % (SECTOR - 16)));
    bytes[at + SECTOR - 1] = 1;
  }
  return bytes;
}

/** Runs cover [0, size), in order. The buffers of data extents are filled a little later, as by a real reader. */
export function diskOfRuns(size: number, runs: readonly Run[], allocated: readonly Range[]): Disk {
  return {
    type: 'raw',
    virtualSize: size,
    blockSize: undefined,
    identity: undefined,
    parent: undefined,
    allocatedBytes: 0,
    allocated: () => allocated,
    skip: async () => ({ identity: undefined, virtualSize: size }),
    async *extents(buffers, { signal } = {}): AsyncGenerator<Extent, DiskEnd, void> {
      for (const run of runs) {
        const { kind, offset, length } = run;
        if (kind !== 'data') {
          yield { kind, offset, length };
          continue;
        }
        const lease = await buffers.acquire(signal);
        const bytes = lease.bytes.subarray(0, length);
        const ready = new Promise<void>((resolve) => setImmediate(resolve)).then(() => bytes.set(runBytes(run)));
        yield { kind, offset, length, bytes, ready, release: () => lease.release() };
      }
      return { identity: undefined, virtualSize: size };
    },
  };
}

export function contentOf(size: number, runs: readonly Run[]): Buffer {
  const content = Buffer.alloc(size);
  for (const run of runs) if (run.kind === 'data') content.set(runBytes(run), run.offset);
  return content;
}

export interface EncodingPlan {
  readonly size: number;
  readonly blockSize: number;
  readonly align: 512 | 4096;
  readonly runs: readonly Run[];
  /** Blocks that the map of the first pass has, besides those with data: they were not zero then. */
  readonly idle: readonly number[];
}

/** The blocks that a map of the disk has: those with data that is not zero, and those that were not zero when the map was made. */
export function mappedBlocks({ runs, blockSize, idle, size }: EncodingPlan): number[] {
  const blocks = new Set(idle.filter((block) => block * blockSize < size));
  for (const { kind, seed, offset, length } of runs) {
    if (kind !== 'data' || seed === 0) continue;
    for (let at = offset; at < offset + length; at += SECTOR) blocks.add(Math.floor(at / blockSize));
  }
  return [...blocks].sort((a, b) => a - b);
}

/** Ranges that lie in those blocks, and touch each of them: a map need not be made of whole blocks. */
export const rangesOf = (blocks: readonly number[], { blockSize, size }: Pick<EncodingPlan, 'blockSize' | 'size'>): Range[] =>
  blocks.map((block, index) => {
    const start = block * blockSize;
    const length = Math.min(blockSize, size - start);
    return index % 3 === 0 ? { offset: start + length - SECTOR, length: SECTOR } : { offset: start, length };
  });

/** Disks in pieces of up to `most` bytes, cut anywhere at multiples of 512. */
export const encodingPlans = (powers: { min: number; max: number }, most: number): fc.Arbitrary<EncodingPlan> =>
  fc
    .record({
      power: fc.integer(powers),
      align: fc.constantFrom<512 | 4096>(512, 4096),
      lengths: fc.array(fc.oneof(fc.integer({ min: 1, max: most / SECTOR }), fc.constantFrom(1, 8, most / SECTOR)), {
        minLength: 1,
        maxLength: 40,
      }),
      kinds: fc.array(fc.constantFrom<Run['kind']>('data', 'zero', 'hole'), { minLength: 1, maxLength: 40 }),
      seeds: fc.array(fc.oneof(fc.constant(0), fc.nat(1e6)), { minLength: 1, maxLength: 40 }),
      idle: fc.array(fc.nat(100), { maxLength: 5 }),
    })
    .map(({ power, align, lengths, kinds, seeds, idle }) => {
      let offset = 0;
      const runs = lengths.map((sectors, index): Run => {
        const length = sectors * SECTOR;
        offset += length;
        return { kind: kinds[index % kinds.length] ?? 'data', offset: offset - length, length, seed: seeds[index % seeds.length] ?? 1 };
      });
      return { size: offset, blockSize: 2 ** power, align, runs, idle };
    });

interface ReadBlock {
  readonly bitmapAt: number;
  readonly bitmap: Buffer;
  readonly data: Buffer;
}

export interface ReadVhd {
  readonly size: number;
  readonly tableOffset: number;
  readonly entries: number;
  readonly blockSize: number;
  readonly blocks: ReadonlyMap<number, ReadBlock>;
  /** Clear bits are zeros. */
  readonly content: Buffer;
}

/** A dynamic VHD, by the specification of Microsoft. */
export function readDynamic(vhd: Buffer): ReadVhd {
  const size = Number(vhd.readBigUInt64BE(48));
  const header = vhd.subarray(Number(vhd.readBigUInt64BE(16)));
  const tableOffset = Number(header.readBigUInt64BE(16));
  const entries = header.readUInt32BE(28);
  const blockSize = header.readUInt32BE(32);
  const blocks = new Map<number, ReadBlock>();
  const content = Buffer.alloc(entries * blockSize);
  for (let block = 0; block < entries; block++) {
    const sector = vhd.readUInt32BE(tableOffset + block * 4);
    if (sector === 0xffffffff) continue;
    const bitmapAt = sector * SECTOR;
    const bitmap = vhd.subarray(bitmapAt, bitmapAt + SECTOR);
    const data = vhd.subarray(bitmapAt + SECTOR, bitmapAt + SECTOR + blockSize);
    blocks.set(block, { bitmapAt, bitmap, data });
    for (let at = 0; at < blockSize; at += SECTOR) {
      const bit = at / SECTOR;
      if (((bitmap[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0) content.set(data.subarray(at, at + SECTOR), block * blockSize + at);
    }
  }
  return { size, tableOffset, entries, blockSize, blocks, content: content.subarray(0, size) };
}

export const hasSector = (bitmap: Buffer, sector: number): boolean => ((bitmap[sector >> 3] ?? 0) & (0x80 >> (sector & 7))) !== 0;
