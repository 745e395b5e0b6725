/** Scan: the first pass of an export, which finds the blocks of a disk that hold anything but zeros. */

import { roundDown, roundUp } from '../bytes.ts';
import { bitAt, bitRuns, setBits } from '../disk/bits.ts';
import type { Range } from '../disk/disk.ts';
import type { ReadableDisk } from '../disk/readable.ts';
import { throwIfCancelled } from '../errors.ts';
import { native } from '../host/native.ts';
import type { Pool } from '../host/pool.ts';

/** The blocks of a disk that are not all zero. */
export interface BlockMap {
  /** Bytes in those blocks, up to the end of the disk. */
  readonly bytes: number;
  /** The runs of blocks, all of them in the map or none; they cover the disk. */
  runs(): Generator<Range & { readonly inside: boolean }>;
}

interface ScanOptions {
  readonly pool: Pool;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes of the disk that have been read so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** Reads what may hold data, with as many readers as there are buffers. `blockSize` is a power of two from 4096 to the size of a buffer. */
export async function scan(disk: ReadableDisk, blockSize: number, { pool, signal, onProgress }: ScanOptions): Promise<BlockMap> {
  const map = createMap(disk.size, blockSize);
  const spans = spansOf(disk, blockSize, pool.size, signal);
  let read = 0;

  async function look({ offset, length }: Range): Promise<void> {
    const lease = await pool.acquire(signal);
    try {
      const bytes = lease.bytes.subarray(0, roundUp(length, disk.align));
      await disk.read(bytes, offset);
      for (let at = 0; at < length; at += blockSize) {
        const block = bytes.subarray(at, Math.min(at + blockSize, length));
        if (!map.has(offset + at) && native().firstNonZero(block) >= 0) map.add(offset + at);
      }
    } finally {
      lease.release();
    }
    read += length;
    onProgress?.(read);
  }

  async function reader(): Promise<void> {
    for await (const span of spans) {
      throwIfCancelled(signal);
      await look(span);
    }
  }
  const outcomes = await Promise.allSettled(Array.from({ length: pool.count }, reader));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  return map;
}

/** Throws if a block that is not in the map holds data by now, with the offset of its first byte. */
export async function firstOutside(disk: ReadableDisk, map: BlockMap, { pool, signal }: ScanOptions): Promise<number | undefined> {
  for (const { offset, length, inside } of map.runs()) {
    if (inside) continue;
    const found = await firstData(disk, { offset, length }, pool, signal);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function firstData(
  disk: ReadableDisk,
  { offset, length }: Range,
  pool: Pool,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  for (let at = 0; at < length; at += pool.size) {
    throwIfCancelled(signal);
    const lease = await pool.acquire(signal);
    try {
      const count = Math.min(pool.size, length - at);
      const bytes = lease.bytes.subarray(0, roundUp(count, disk.align));
      await disk.read(bytes, offset + at);
      const found = native().firstNonZero(bytes.subarray(0, count));
      if (found >= 0) return offset + at + found;
    } finally {
      lease.release();
    }
  }
  return undefined;
}

/** What may hold data, extended to whole blocks, in pieces of at most a buffer. */
async function* spansOf(disk: ReadableDisk, blockSize: number, most: number, signal: AbortSignal | undefined): AsyncGenerator<Range> {
  const step = roundDown(most, blockSize);
  let done = 0;
  for await (const range of disk.mayHold(signal)) {
    const end = Math.min(roundUp(range.offset + range.length, blockSize), disk.size);
    for (let at = Math.max(done, roundDown(range.offset, blockSize)); at < end; at += step) {
      yield { offset: at, length: Math.min(step, end - at) };
    }
    done = Math.max(done, end);
  }
}

interface GrowingMap extends BlockMap {
  has(offset: number): boolean;
  add(offset: number): void;
}

function createMap(size: number, blockSize: number): GrowingMap {
  const blocks = Math.ceil(size / blockSize);
  const bits = new Uint8Array(Math.ceil(blocks / 8));
  let bytes = 0;
  return {
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
