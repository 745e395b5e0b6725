/** Scan: the first pass of an export, which finds the blocks of a disk that hold anything but zeros. */

import { roundDown, roundUp } from '../bytes.ts';
import { bitAt, bitRuns, setBits } from '../disk/bits.ts';
import type { Range } from '../disk/disk.ts';
import type { ReadableDisk } from '../disk/readable.ts';
import { throwIfCancelled } from '../errors.ts';
import { native } from '../host/native.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { Pool } from '../host/pool.ts';

/** The blocks of a disk that are not all zero. */
export interface BlockMap {
  readonly blockSize: number;
  /** Bytes in those blocks, up to the end of the disk. */
  readonly bytes: number;
  /** Whether it has the block that begins at `offset`. */
  has(offset: number): boolean;
  /** The runs of blocks, all of them in the map or none; they cover the disk. */
  runs(): Generator<Range & { readonly inside: boolean }>;
}

interface ScanOptions {
  readonly pool: Pool;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes of the disk that have been read so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** Reads what may hold data. `blockSize` is a power of two from 4096 to the size of a buffer. */
export async function scan(disk: ReadableDisk, blockSize: number, options: ScanOptions): Promise<BlockMap> {
  const map = createMap(disk.size, blockSize);
  await lookAtBlocks(disk, map, options, (offset, found) => {
    if (found >= 0) map.add(offset);
  });
  return map;
}

/** The first byte that is not zero by now, of the blocks that are not in the map; undefined if there is none. */
export async function firstOutside(disk: ReadableDisk, map: BlockMap, options: ScanOptions): Promise<number | undefined> {
  let first = Number.POSITIVE_INFINITY;
  await lookAtBlocks(disk, map, options, (offset, found) => {
    if (found >= 0) first = Math.min(first, offset + found);
  });
  return Number.isFinite(first) ? first : undefined;
}

/**
 * Calls `look` for each block that may hold data and is not in the map, with its offset and that of its first byte that is not zero, or -1.
 * Reads with as many buffers as there are, and only spans with such a block.
 */
async function lookAtBlocks(
  disk: ReadableDisk,
  map: BlockMap,
  { pool, signal, onProgress }: ScanOptions,
  look: (offset: number, found: number) => void,
): Promise<void> {
  const { blockSize } = map;
  let read = 0;
  await eachInParallel(spansOf(disk, map, pool.size, signal), pool.count, async ({ offset, length }) => {
    throwIfCancelled(signal);
    const lease = await pool.acquire(signal);
    try {
      const bytes = lease.bytes.subarray(0, roundUp(length, disk.align));
      await disk.read(bytes, offset);
      for (let at = 0; at < length; at += blockSize) {
        if (!map.has(offset + at)) look(offset + at, native().firstNonZero(bytes.subarray(at, Math.min(at + blockSize, length))));
      }
    } finally {
      lease.release();
    }
    read += length;
    onProgress?.(read);
  });
}

/** What may hold data, extended to whole blocks, in pieces of at most a buffer that are not all in the map. */
async function* spansOf(disk: ReadableDisk, map: BlockMap, most: number, signal: AbortSignal | undefined): AsyncGenerator<Range> {
  const { blockSize } = map;
  const step = roundDown(most, blockSize);
  let done = 0;
  for await (const range of disk.mayHold(signal)) {
    const end = Math.min(roundUp(range.offset + range.length, blockSize), disk.size);
    for (let at = Math.max(done, roundDown(range.offset, blockSize)); at < end; at += step) {
      const span = { offset: at, length: Math.min(step, end - at) };
      if (!hasAll(map, span)) yield span;
    }
    done = Math.max(done, end);
  }
}

function hasAll(map: BlockMap, { offset, length }: Range): boolean {
  for (let at = offset; at < offset + length; at += map.blockSize) if (!map.has(at)) return false;
  return true;
}

interface GrowingMap extends BlockMap {
  add(offset: number): void;
}

function createMap(size: number, blockSize: number): GrowingMap {
  const blocks = Math.ceil(size / blockSize);
  const bits = new Uint8Array(Math.ceil(blocks / 8));
  let bytes = 0;
  return {
    blockSize,
    get bytes() {
      return bytes;
    },
    has: (offset) => bitAt(bits, offset / blockSize),
    add(offset) {
      setBits(bits, offset / blockSize, offset / blockSize + 1, true);
      bytes += Math.min(blockSize, size - offset);
    },
    *runs() {
      for (const { start, end, set } of bitRuns(bits, 0, blocks)) {
        const offset = start * blockSize;
        yield { offset, length: Math.min(end * blockSize, size) - offset, inside: set };
      }
    },
  };
}
