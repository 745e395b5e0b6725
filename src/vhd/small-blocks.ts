/** Reading small blocks: as many as fit into a buffer in one read, whatever their order on the disk. */

import { KiB } from '../bytes.ts';
import { cut } from '../disk/cut.ts';
import type { ExtentOptions, Range } from '../disk/disk.ts';
import type { Buffers, DataExtent, EmptyExtent, Extent } from '../disk/extent.ts';
import { untapped } from '../disk/tap.ts';
import { clearAbsent } from './bitmap.ts';
import { type BlockReading, MAX_BLOCK_GAP, MAX_UNWANTED } from './blocks.ts';
import type { Layout } from './layout.ts';
import { bitmapRuns } from './use.ts';

/** A read of a larger block costs hardly less per byte. */
const SMALL = 64 * KiB;
/** Blocks that are read together, at most: so long is the event loop busy with them, a few ms. */
const MAX_TOGETHER = 2048;

/** Whether the blocks are small. */
export const readsTogether = ({ blockSize, bitmapBytes }: Layout, buffers: Buffers): boolean =>
  blockSize < SMALL && bitmapBytes + blockSize <= buffers.size;

/** The extents of the disk, in the order of the file; the holes of a read come before its data. */
export async function* smallBlocks(
  reading: BlockReading,
  { wanted, tap }: Pick<ExtentOptions, 'wanted' | 'tap'>,
): AsyncGenerator<Extent, void, void> {
  const { cursor, layout } = reading;
  // What a stream has must be read anyway.
  const needs = (index: number): boolean => {
    if (!cursor.seekable || wanted === undefined) return true;
    const { offset, length } = layout.range(index);
    return wanted(offset, length).length > 0;
  };
  for (let index = 0; index < layout.count; ) {
    if (needs(index)) {
      const end = endOfRead(reading, index, needs);
      yield* untapped(await readTogether(reading, index, end), tap);
      index = end;
    } else {
      yield* untapped([...layout.holesBefore(index), { kind: 'hole', ...layout.range(index) }], tap);
      index++;
    }
  }
  yield* untapped(layout.holesBefore(layout.count), tap);
}

/** The index after the last block that is read together with the one at `first`. */
function endOfRead({ layout, buffers }: BlockReading, first: number, needs: (index: number) => boolean): number {
  const { blockSize, count, bitmapAt, dataAt, gapBefore } = layout;
  const limit = bitmapAt(first) + buffers.size;
  const stop = Math.min(count, first + MAX_TOGETHER);
  let end = first + 1;
  for (let index = end; index < stop && gapBefore(index) <= MAX_BLOCK_GAP; index++) {
    if (dataAt(index) + blockSize > limit) break;
    if (needs(index)) end = index + 1;
    else if (dataAt(index) - dataAt(end - 1) > MAX_UNWANTED) break;
  }
  return end;
}

/**
 * Reads the blocks [first, end) as they lie in the file, then moves the data of those which are adjacent on the disk too together, so that
 * they become one extent.
 */
async function readTogether({ cursor, layout, buffers, signal, see }: BlockReading, first: number, end: number): Promise<Iterable<Extent>> {
  const { bitmapBytes, differencing, bitmapAt, dataAt, range, isNext, holesBefore } = layout;
  const base = bitmapAt(first);
  const lease = await buffers.acquire(signal);
  const bytes = lease.bytes.subarray(0, dataAt(end - 1) + range(end - 1).length - base);
  const pieces: Placed[] = [];
  const holes: EmptyExtent[] = [];
  try {
    await cursor.moveTo(base);
    await cursor.fill(bytes);
    /** Where the data of the last block ends. */
    let filled = 0;
    for (let index = first; index < end; index++) {
      for (const hole of holesBefore(index)) holes.push(hole);
      const { offset, length } = range(index);
      const from = dataAt(index) - base;
      const bitmap = bytes.subarray(from - bitmapBytes, from);
      const data = bytes.subarray(from, from + length);
      see?.(index, bitmap, data);
      const at = index > first && isNext(index) ? filled : from;
      if (differencing) {
        for (const run of bitmapRuns(bitmap, offset, 0, length)) {
          if (run.inside) append(pieces, { offset: run.offset, length: run.length, at: at + run.offset - offset });
          else holes.push({ kind: 'hole', offset: run.offset, length: run.length });
        }
      } else {
        clearAbsent(data, bitmap, 0);
        append(pieces, { offset, length, at });
      }
      if (at !== from) bytes.copyWithin(at, from, from + length);
      filled = at + length;
    }
  } catch (error) {
    lease.release();
    throw error;
  }
  const whole = { kind: 'data', offset: 0, length: bytes.length, bytes, ready: Promise.resolve(), release: () => lease.release() } as const;
  return holesAndPieces(holes, whole, pieces);
}

/** The buffer is released even if the iteration ends early. */
function* holesAndPieces(holes: readonly EmptyExtent[], whole: DataExtent, pieces: readonly Placed[]): Generator<Extent> {
  let isCut = false;
  try {
    yield* holes;
    isCut = true;
    yield* cut(whole, pieces);
  } finally {
    if (!isCut) whole.release();
  }
}

/** A part of the disk, and where it is in a buffer. */
interface Placed extends Range {
  readonly at: number;
}

/** Appends a piece, or extends the last one if both are adjacent on the disk and in the buffer. */
function append(pieces: Placed[], { offset, length, at }: Placed): void {
  const last = pieces.at(-1);
  if (last !== undefined && last.offset + last.length === offset && last.at + last.length === at) {
    pieces[pieces.length - 1] = { offset: last.offset, length: last.length + length, at: last.at };
  } else pieces.push({ offset, length, at });
}
