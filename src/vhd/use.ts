/** Which parts of a block are needed: those that are wanted and, according to its bitmap, present. */

import { KiB, SECTOR } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { bitRuns } from '../disk/bits.ts';
import type { Range, Wanted } from '../disk/disk.ts';
import type { SectorRun } from '../disk/sectors.ts';
import type { Layout } from './layout.ts';

/** Bitmaps read in advance from a seekable file: 32 KiB for the usual blocks. */
const BITMAPS_AHEAD = 64;
/** A larger bitmap is read with its block. */
const MAX_BITMAP = 4 * KiB;

/** Call `of` in ascending order of indices. */
export interface BlockUse {
  /** Whether the answers of `of` are exact. If not, it only says whether a block is wanted at all. */
  readonly exact: boolean;
  /** The needed parts of a block; undefined if that is the whole block, or is not known before it is read. */
  of(index: number): Promise<readonly Range[] | undefined>;
}

/** `bufferSize` in bytes: a block that does not fit is read whole, in pieces. */
export function blockUse(cursor: Cursor, layout: Layout, wanted: Wanted | undefined, bufferSize: number): BlockUse {
  const { blockSize, bitmapBytes, differencing } = layout;
  const exact = cursor.seekable && blockSize <= bufferSize && bitmapBytes <= MAX_BITMAP && (differencing || wanted !== undefined);
  const bitmaps = exact && differencing ? bitmapsAhead(cursor, layout) : undefined;
  return {
    exact,
    async of(index) {
      const whole = layout.range(index);
      let use: readonly Range[] = wanted === undefined ? [whole] : wanted(whole.offset, whole.length);
      if (use.length === 0 || !exact) return use.length === 0 ? use : undefined;
      const bitmap = await bitmaps?.(index);
      if (bitmap !== undefined) use = use.flatMap((range) => presentIn(bitmap, whole.offset, range));
      return use.length === 1 && use[0]?.length === whole.length ? undefined : use;
    },
  };
}

/** Returns the bitmap of a block by its index, reading a few at a time. */
function bitmapsAhead(cursor: Cursor, { bitmapBytes, count, bitmapAt }: Layout): (index: number) => Promise<Uint8Array | undefined> {
  let first = 0;
  let bitmaps: readonly Uint8Array[] = [];
  return async (index) => {
    if (index >= first + bitmaps.length) {
      const { position } = cursor;
      first = index;
      const ahead = Math.min(BITMAPS_AHEAD, count - index);
      const together = new Uint8Array(ahead * bitmapBytes);
      bitmaps = Array.from({ length: ahead }, (_, at) => together.subarray(at * bitmapBytes, (at + 1) * bitmapBytes));
      const reads: Promise<void>[] = [];
      for (const [at, bitmap] of bitmaps.entries()) {
        await cursor.moveTo(bitmapAt(first + at));
        reads.push(cursor.fill(bitmap));
      }
      await Promise.all(reads);
      await cursor.moveTo(position);
    }
    return bitmaps[index - first];
  };
}

/** The parts of a range of the disk that a block has, according to its bitmap. The block begins at byte `start` of the disk. */
function presentIn(bitmap: Uint8Array, start: number, { offset, length }: Range): Range[] {
  return [...bitmapRuns(bitmap, start, offset - start, length)].filter(({ inside }) => inside);
}

/** The runs of `length` bytes from byte `from` of a block that begins at byte `start` of the disk, according to its bitmap. */
export function* bitmapRuns(bitmap: Uint8Array, start: number, from: number, length: number): Generator<SectorRun> {
  for (const { start: first, end, set } of bitRuns(bitmap, from / SECTOR, length / SECTOR))
    yield { offset: start + first * SECTOR, length: (end - first) * SECTOR, inside: set };
}
