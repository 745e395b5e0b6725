/** What of a block is of use: what is wanted of it and, by its bitmap, there. */

import { KiB, SECTOR } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { bitRuns } from '../disk/bits.ts';
import type { Range, Wanted } from '../disk/disk.ts';
import type { SectorRun } from '../disk/sectors.ts';
import type { Layout } from './layout.ts';

/** Bitmaps that are read in advance, where the file can be jumped through; 32 KiB of them for the usual blocks. */
const BITMAPS_AHEAD = 64;
/** A larger bitmap is read with its block. */
const MAX_BITMAP = 4 * KiB;

/** Indices are asked for in order. */
export interface BlockUse {
  /** Whether the answers are exact: otherwise only a block that nobody wants is known before it is read. */
  readonly exact: boolean;
  /** What of a block is of use; undefined where that is all of it, or is not known yet. */
  of(index: number): Promise<readonly Range[] | undefined>;
}

/** `bufferSize` in bytes: a block that does not fit is read in pieces, whatever is of use. */
export function blockUse(cursor: Cursor, layout: Layout, wanted: Wanted | undefined, bufferSize: number): BlockUse {
  const { blockSize, bitmapBytes, differencing } = layout;
  const exact = cursor.seekable && blockSize <= bufferSize && bitmapBytes <= MAX_BITMAP && (differencing || wanted !== undefined);
  const bitmaps = exact && differencing ? bitmapsAhead(cursor, layout) : undefined;
  return {
    exact,
    async of(index) {
      const all = layout.range(index);
      let use: readonly Range[] = wanted === undefined ? [all] : wanted(all.offset, all.length);
      if (use.length === 0 || !exact) return use.length === 0 ? use : undefined;
      const bitmap = await bitmaps?.(index);
      if (bitmap !== undefined) use = use.flatMap((range) => presentIn(bitmap, all.offset, range));
      return use.length === 1 && use[0]?.length === all.length ? undefined : use;
    },
  };
}

/** Gives the bitmap of a block by its index; a few are read at a time. */
function bitmapsAhead(cursor: Cursor, { bitmapBytes, count, bitmapAt }: Layout): (index: number) => Promise<Uint8Array | undefined> {
  let first = 0;
  let some: readonly Uint8Array[] = [];
  return async (index) => {
    if (index >= first + some.length) {
      const { position } = cursor;
      first = index;
      const ahead = Math.min(BITMAPS_AHEAD, count - index);
      const together = new Uint8Array(ahead * bitmapBytes);
      some = Array.from({ length: ahead }, (_, at) => together.subarray(at * bitmapBytes, (at + 1) * bitmapBytes));
      const reads: Promise<void>[] = [];
      for (const [at, bitmap] of some.entries()) {
        await cursor.moveTo(bitmapAt(first + at));
        reads.push(cursor.fill(bitmap));
      }
      await Promise.all(reads);
      await cursor.moveTo(position);
    }
    return some[index - first];
  };
}

/** What of a range of the disk a block has, by its bitmap; the block begins at byte `start` of the disk. */
function presentIn(bitmap: Uint8Array, start: number, { offset, length }: Range): Range[] {
  return [...bitmapRuns(bitmap, start, offset - start, length)].filter(({ inside }) => inside);
}

/** `length` bytes from byte `from` of a block that begins at byte `start` of the disk, by its bitmap. */
export function* bitmapRuns(bitmap: Uint8Array, start: number, from: number, length: number): Generator<SectorRun> {
  for (const { start: first, end, set } of bitRuns(bitmap, from / SECTOR, length / SECTOR))
    yield { offset: start + first * SECTOR, length: (end - first) * SECTOR, inside: set };
}
