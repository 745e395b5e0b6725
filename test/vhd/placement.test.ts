import { describe, expect, test } from 'vitest';
import { streamCursor } from '../../src/cursor.ts';
import { readMetadata } from '../../src/vhd/metadata.ts';
import { type Placement, placementOf } from '../../src/vhd/placement.ts';
import { noise, reusing } from '../support/chunks.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';

const SECTOR = 512;

interface Example {
  readonly placement: Placement;
  /** Where the file was read. */
  readonly reads: number[];
  /** Makes the next read fail. */
  fail(): void;
}

async function example(vhd: Buffer, size: number, cacheBytes: number): Promise<Example> {
  const metadata = await readMetadata(streamCursor(reusing(vhd), vhd.length));
  const reads: number[] = [];
  let failing = false;
  async function readAt(into: Uint8Array, at: number): Promise<void> {
    reads.push(at);
    if (failing) {
      failing = false;
      throw new Error('bad sector');
    }
    into.set(vhd.subarray(at, at + into.length));
  }
  const fail = (): void => {
    failing = true;
  };
  return { placement: placementOf(metadata, size, readAt, cacheBytes), reads, fail };
}

/** Blocks 0, 1 and 3 of four are in the file in the order 3, 0, 1; from the first, sectors 1 and 2 are present. */
const bitmap = Buffer.alloc(SECTOR);
bitmap[0] = 0x60;
const vhd = dynamicVhd({
  size: 3 * 4096 + 1024,
  blockSize: 4096,
  blocks: new Map([0, 1, 3].map((block) => [block, noise(4096, block)])),
  bitmaps: new Map([[0, bitmap]]),
  order: [3, 0, 1],
});
const FIRST = 2048;
const STRIDE = SECTOR + 4096;
const size = 3 * 4096 + 1024;

describe('the sectors of a range', () => {
  test('of a dynamic VHD are where the table and the bitmaps say', async () => {
    const { placement } = await example(vhd, size, 65_536);
    expect(await placement.runs([{ offset: 0, length: size }])).toEqual([
      { offset: 0, length: 512, at: undefined },
      { offset: 512, length: 1024, at: FIRST + STRIDE + SECTOR + 512 },
      { offset: 1536, length: 2560, at: undefined },
      { offset: 4096, length: 4096, at: FIRST + 2 * STRIDE + SECTOR },
      { offset: 8192, length: 4096, at: undefined },
      { offset: 12_288, length: 1024, at: FIRST + SECTOR },
    ]);
    const parts = [
      { offset: 1024, length: 512 },
      { offset: 4608, length: 1024 },
    ];
    expect(await placement.runs(parts)).toEqual([
      { offset: 1024, length: 512, at: FIRST + STRIDE + SECTOR + 1024 },
      { offset: 4608, length: 1024, at: FIRST + 2 * STRIDE + SECTOR + 512 },
    ]);
    expect(await placement.runs([])).toEqual([]);
    expect([...placement.allocated()]).toEqual([
      { offset: 0, length: 8192 },
      { offset: 12_288, length: 1024 },
    ]);
  });

  test('of a fixed VHD are at the same place in the file', async () => {
    const { placement, reads } = await example(fixedVhd(noise(4096, 1)), 4096, 65_536);
    expect(await placement.runs([{ offset: 512, length: 1024 }])).toEqual([{ offset: 512, length: 1024, at: 512 }]);
    expect([...placement.allocated()]).toEqual([{ offset: 0, length: 4096 }]);
    expect(reads).toEqual([]);
  });
});

describe('bitmaps', () => {
  const block = (number: number): [{ offset: number; length: number }] => [{ offset: number * 4096, length: 512 }];

  test('are read when they are needed, and once', async () => {
    const { placement, reads } = await example(vhd, size, 65_536);
    await placement.runs(block(2));
    expect(reads).toEqual([]);
    await Promise.all([placement.runs(block(1)), placement.runs(block(1))]);
    await placement.runs(block(1));
    expect(reads).toEqual([FIRST + 2 * STRIDE]);
  });

  test('are kept as far as the memory goes, those that were used last', async () => {
    const { placement, reads } = await example(vhd, size, 2 * SECTOR);
    for (const number of [0, 1, 0, 3, 0, 1]) await placement.runs(block(number));
    expect(reads).toEqual([FIRST + STRIDE, FIRST + 2 * STRIDE, FIRST, FIRST + 2 * STRIDE]);
  });

  test('that could not be read are read again', async () => {
    const { placement, reads, fail } = await example(vhd, size, 65_536);
    fail();
    await expect(placement.runs(block(1))).rejects.toThrow('bad sector');
    expect(await placement.runs(block(1))).toHaveLength(1);
    expect(reads).toHaveLength(2);
  });
});
