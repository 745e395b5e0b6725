/** Reading the blocks of a dynamic or differencing VHD in file order, several in one read, and only the parts that are needed. */

import { KiB, SECTOR } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import type { ExtentOptions, Range } from '../disk/disk.ts';
import type { Buffers, DataExtent, Lease } from '../disk/extent.ts';
import { pieces, settleStream } from '../disk/pieces.ts';
import type { SectorRun } from '../disk/sectors.ts';
import { clearAbsent } from './bitmap.ts';
import type { Layout } from './layout.ts';
import type { Read } from './presence.ts';
import { type BlockUse, bitmapRuns, blockUse } from './use.ts';

/** Maximum number of blocks in a run. Limits the memory for bitmaps if the blocks are tiny. */
const MAX_RUN = 64;
/** Producers leave up to seven sectors free to align data to a page. Reading such a gap is cheaper than a second read. */
export const MAX_BLOCK_GAP = 8 * SECTOR;
/** Gaps are read into this and discarded. */
const DISCARDED = new Uint8Array(MAX_BLOCK_GAP);
/** Unneeded bytes inside a block are read up to this length: a second read costs more. */
export const MAX_UNWANTED = 128 * KiB;

/** What all reads of one pass share. */
export interface BlockReading {
  readonly cursor: Cursor;
  readonly layout: Layout;
  readonly buffers: Buffers;
  readonly signal: AbortSignal | undefined;
  readonly see: SeeBlock | undefined;
}

/** Receives the bitmap of each block, and its data as stored or the end of that, in the order of the file. */
export type SeeBlock = (index: number, bitmap: Uint8Array, data?: Uint8Array) => void;

/** The blocks in file order. A hole comes before the block that ends it. */
export async function* readBlocks(
  cursor: Cursor,
  layout: Layout,
  buffers: Buffers,
  { signal, wanted }: ExtentOptions,
  see?: SeeBlock,
): AsyncGenerator<Read, void, void> {
  const reading: BlockReading = { cursor, layout, buffers, signal, see };
  const use = blockUse(cursor, layout, wanted, buffers.size);
  const most = Math.min(MAX_RUN, Math.floor(buffers.size / layout.blockSize));
  for (let index = 0; index < layout.count; ) {
    for (const extent of layout.holesBefore(index)) yield { extent };
    const parts = await use.of(index);
    let count = 1;
    if (parts?.length === 0) {
      if (see !== undefined) await seeBlock(cursor, layout, index, see);
      yield { extent: { kind: 'hole', ...layout.range(index) } };
    } else if (parts !== undefined) yield await readParts(reading, index, parts);
    else if (most === 0) yield* readPieces(reading, index);
    else {
      while (count < most && (await joins(reading, use, index + count))) count++;
      yield await readRun(reading, index, count, use.exact);
    }
    index += count;
  }
  for (const extent of layout.holesBefore(layout.count)) yield { extent };
}

/** Reads only the bitmaps, in the order of the file, and the last sector of the last block. */
export async function seeBlocks(cursor: Cursor, layout: Layout, see: SeeBlock): Promise<void> {
  for (let index = 0; index < layout.count; index++) await seeBlock(cursor, layout, index, see);
}

async function seeBlock(cursor: Cursor, layout: Layout, index: number, see: SeeBlock): Promise<void> {
  await cursor.moveTo(layout.bitmapAt(index));
  const bitmap = await cursor.read(layout.bitmapBytes);
  const isLast = index === layout.count - 1;
  if (isLast) await cursor.moveTo(layout.dataAt(index) + layout.range(index).length - SECTOR);
  see(index, bitmap, isLast ? await cursor.read(SECTOR) : undefined);
}

/** Whether a block is read whole, in one read with the one before it. */
async function joins({ layout }: BlockReading, use: BlockUse, index: number): Promise<boolean> {
  return layout.isNext(index) && layout.gapBefore(index) <= MAX_BLOCK_GAP && (await use.of(index)) === undefined;
}

/** Reads a block that is larger than a buffer. */
async function* readPieces({ cursor, layout, buffers, signal, see }: BlockReading, index: number): AsyncGenerator<Read, void, void> {
  const { differencing } = layout;
  const range = layout.range(index);
  await cursor.moveTo(layout.bitmapAt(index));
  const bitmap = new Uint8Array(layout.bitmapBytes);
  const prepare = (bytes: Uint8Array, from: number): void => {
    see?.(index, bitmap, bytes);
    if (!differencing) clearAbsent(bytes, bitmap, from / SECTOR);
  };
  for await (const extent of pieces(cursor, range, buffers, { signal, lead: bitmap, prepare })) {
    const { offset, length } = extent;
    yield differencing ? { extent, present: () => bitmapRuns(bitmap, range.offset, offset - range.offset, length) } : { extent };
  }
}

/**
 * Reads `count` blocks that are adjacent in the file and on the disk as one extent, with a single scattered read. That halves the hops
 * between threads for 2 MiB blocks, and makes large writes even of small blocks. `isFull`: their bitmaps are known to be full.
 */
async function readRun(reading: BlockReading, index: number, count: number, isFull: boolean): Promise<Read> {
  const { cursor, layout, buffers, signal, see } = reading;
  const { bitmapBytes, differencing } = layout;
  await cursor.moveTo(layout.bitmapAt(index));
  const lease = await buffers.acquire(signal);
  const bitmaps = new Uint8Array(count * bitmapBytes);
  const parts: Uint8Array[] = [];
  const blocks: { readonly bitmap: Uint8Array; readonly data: Uint8Array }[] = [];
  let length = 0;
  for (let i = index; i < index + count; i++) {
    if (i > index) parts.push(DISCARDED.subarray(0, layout.gapBefore(i)));
    const bitmap = bitmaps.subarray((i - index) * bitmapBytes, (i - index + 1) * bitmapBytes);
    const data = lease.bytes.subarray(length, length + layout.range(i).length);
    length += data.length;
    parts.push(bitmap, data);
    blocks.push({ bitmap, data });
  }
  const ready = cursor.fill(...parts).then(() => {
    for (const [at, { bitmap, data }] of blocks.entries()) {
      see?.(index + at, bitmap, data);
      if (!differencing) clearAbsent(data, bitmap, 0);
    }
  });
  await settleStream(cursor, ready, lease);
  const extent = dataExtent(layout.range(index).offset, lease, length, ready);
  if (!differencing || isFull) return { extent };
  return {
    extent,
    *present() {
      for (const [at, { bitmap, data }] of blocks.entries())
        yield* bitmapRuns(bitmap, extent.offset + at * layout.blockSize, 0, data.length);
    },
  };
}

/** Reads only the needed parts of a block, from a seekable file. */
async function readParts({ cursor, layout, buffers, signal }: BlockReading, index: number, use: readonly Range[]): Promise<Read> {
  const { differencing } = layout;
  const { offset, length } = layout.range(index);
  const lease = await buffers.acquire(signal);
  const bytes = lease.bytes.subarray(0, length);
  const bitmap = new Uint8Array(layout.bitmapBytes);
  const reads: Promise<void>[] = [];
  const read = async (at: number, into: Uint8Array): Promise<void> => {
    await cursor.moveTo(at);
    reads.push(cursor.fill(into));
  };
  if (!differencing) await read(layout.bitmapAt(index), bitmap);
  for (const part of joined(use)) {
    const from = part.offset - offset;
    await read(layout.dataAt(index) + from, bytes.subarray(from, from + part.length));
  }
  // Wait for all of them: the buffer must not be released while one is still filling it.
  const ready = Promise.allSettled(reads).then((outcomes) => {
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    if (!differencing) clearAbsent(bytes, bitmap, 0);
  });
  ready.catch(() => {}); // the consumer, which awaits it, gets the error
  const extent = dataExtent(offset, lease, length, ready);
  return { extent, present: () => runsOf(extent, use), presenceKnown: true };
}

function dataExtent(offset: number, lease: Lease, length: number, ready: Promise<void>): DataExtent {
  return { kind: 'data', offset, length, bytes: lease.bytes.subarray(0, length), ready, release: () => lease.release() };
}

/** Merges ranges that are no more than MAX_UNWANTED apart. */
function joined(ranges: readonly Range[]): Range[] {
  const joined: Range[] = [];
  for (const { offset, length } of ranges) {
    const last = joined.at(-1);
    if (last === undefined || offset - (last.offset + last.length) > MAX_UNWANTED) joined.push({ offset, length });
    else joined[joined.length - 1] = { offset: last.offset, length: offset + length - last.offset };
  }
  return joined;
}

/** Covers `whole` with runs: the ranges are inside, the gaps between them outside. */
function* runsOf(whole: Range, ranges: readonly Range[]): Generator<SectorRun> {
  let at = whole.offset;
  for (const { offset, length } of [...ranges, { offset: whole.offset + whole.length, length: 0 }]) {
    if (offset > at) yield { offset: at, length: offset - at, inside: false };
    if (length > 0) yield { offset, length, inside: true };
    at = offset + length;
  }
}
