/** Reading small blocks: as many as fit into a buffer in one read, whatever their order on the disk. */

import { cut } from '../disk/cut.ts';
import type { Range, Wanted } from '../disk/disk.ts';
import type { EmptyExtent } from '../disk/extent.ts';
import { clearAbsent } from './bitmap.ts';
import { MAX_GAP, MAX_UNWANTED, type Reading } from './blocks.ts';
import type { Read } from './presence.ts';
import { bitmapRuns } from './use.ts';

/** As `readBlocks`. Extents of the blocks of a read come before its holes. */
export async function* readSmallBlocks(reading: Reading, wanted: Wanted | undefined): AsyncGenerator<Read, void, void> {
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
      yield* readTogether(reading, index, end);
      index = end;
    } else {
      for (const extent of layout.holesBefore(index)) yield { extent };
      yield { extent: { kind: 'hole', ...layout.range(index) } };
      index++;
    }
  }
  for (const extent of layout.holesBefore(layout.count)) yield { extent };
}

/** The index after the last block that is read together with the one at `first`. */
function endOfRead({ layout, buffers }: Reading, first: number, needs: (index: number) => boolean): number {
  const { blockSize, count, bitmapAt, dataAt, gapBefore } = layout;
  const limit = bitmapAt(first) + buffers.size;
  let end = first + 1;
  for (let index = end; index < count && gapBefore(index) <= MAX_GAP; index++) {
    if (dataAt(index) + blockSize > limit) break;
    if (needs(index)) end = index + 1;
    else if (dataAt(index) - dataAt(end - 1) > MAX_UNWANTED) break;
  }
  return end;
}

/**
 * Reads the blocks [first, end) as they lie in the file, then moves their data to the start of the buffer, so that blocks which are adjacent
 * on the disk too become one extent.
 */
async function* readTogether({ cursor, layout, buffers, signal, see }: Reading, first: number, end: number): AsyncGenerator<Read, void, void> {
  const { bitmapBytes, differencing, bitmapAt, dataAt, range, holesBefore } = layout;
  const base = bitmapAt(first);
  const lease = await buffers.acquire(signal);
  const bytes = lease.bytes.subarray(0, dataAt(end - 1) + range(end - 1).length - base);
  const pieces: Placed[] = [];
  const holes: EmptyExtent[] = [];
  try {
    await cursor.moveTo(base);
    await cursor.fill(bytes);
    let filled = 0;
    for (let index = first; index < end; index++) {
      holes.push(...holesBefore(index));
      const { offset, length } = range(index);
      const from = dataAt(index) - base;
      const bitmap = bytes.subarray(from - bitmapBytes, from);
      const data = bytes.subarray(from, from + length);
      see?.(index, bitmap, data);
      if (differencing) {
        for (const run of bitmapRuns(bitmap, offset, 0, length)) {
          if (run.inside) append(pieces, { offset: run.offset, length: run.length, at: filled + run.offset - offset });
          else holes.push({ kind: 'hole', offset: run.offset, length: run.length });
        }
      } else {
        clearAbsent(data, bitmap, 0);
        append(pieces, { offset, length, at: filled });
      }
      bytes.copyWithin(filled, from, from + length);
      filled += length;
    }
  } catch (error) {
    lease.release();
    throw error;
  }
  const whole = { kind: 'data', offset: 0, length: bytes.length, bytes, ready: Promise.resolve(), release: () => lease.release() } as const;
  for (const extent of cut(whole, pieces)) yield { extent };
  for (const extent of holes) yield { extent };
}

/** A part of the disk, and where it is in a buffer. */
interface Placed extends Range {
  readonly at: number;
}

/** Appends a piece, or extends the last one if both are adjacent on the disk and in the buffer. */
function append(pieces: Placed[], piece: Placed): void {
  const last = pieces.at(-1);
  if (last !== undefined && last.offset + last.length === piece.offset && last.at + last.length === piece.at) {
    pieces[pieces.length - 1] = { ...last, length: last.length + piece.length };
  } else pieces.push(piece);
}
