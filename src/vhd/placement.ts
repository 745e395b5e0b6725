/**
 * Placement: where the sectors of a VHD are in its file, so that any range of the disk can be read. It costs 4 bytes per block, for the BAT,
 * and the bitmaps that were used last.
 */

import type { Range } from '../disk/disk.ts';
import type { SectorRun } from '../disk/sectors.ts';
import { allocatedRanges } from './dynamic.ts';
import type { BlockMetadata, VhdMetadata } from './metadata.ts';
import { bitmapRuns } from './use.ts';

/** A run of the disk: at byte `at` of the file, or, if that is undefined, absent. */
export interface PlacedRun extends Range {
  readonly at: number | undefined;
}

/** Fills `into` with the bytes of the file from `at` on. */
type ReadAt = (into: Uint8Array, at: number) => Promise<void>;

export interface Placement {
  /** The runs that cover `ranges`, in order. These are ascending, within the disk, and consist of whole sectors. */
  runs(ranges: readonly Range[]): Promise<readonly PlacedRun[]>;
  /** Where sectors may be present: ascending and merged. */
  allocated(): Iterable<Range>;
}

/** Bitmaps are read with `readAt`, and kept up to `cacheBytes`. Keeps nothing of the metadata but the table. */
export function placementOf(metadata: VhdMetadata, virtualSize: number, readAt: ReadAt, cacheBytes: number): Placement {
  if (metadata.type !== 'fixed') return blockPlacement(metadata, readAt, cacheBytes);
  return {
    runs: async (ranges) => ranges.map(({ offset, length }) => ({ offset, length, at: offset })),
    allocated: () => [{ offset: 0, length: virtualSize }],
  };
}

function blockPlacement({ footer, header, bat }: BlockMetadata, readAt: ReadAt, cacheBytes: number): Placement {
  const { blockSize } = header;
  const { bitmapBytes, has, start } = bat;
  const bitmapAt = cachedBitmaps(bitmapBytes, readAt, cacheBytes);

  async function bitmapsOf(blocks: ReadonlySet<number>): Promise<ReadonlyMap<number, Uint8Array>> {
    const allocated = [...blocks].filter(has);
    return new Map(await Promise.all(allocated.map(async (block) => [block, await bitmapAt(start(block))] as const)));
  }

  return {
    allocated: () => allocatedRanges(footer, header, bat),
    async runs(ranges) {
      const parts = ranges.flatMap((range) => [...partsOf(range, blockSize)]);
      const bitmaps = await bitmapsOf(new Set(parts.map(({ block }) => block)));
      const runs: PlacedRun[] = [];
      for (const { block, from, length } of parts) {
        const first = block * blockSize;
        const data = start(block) + bitmapBytes;
        const bitmap = bitmaps.get(block);
        if (bitmap === undefined) runs.push({ offset: first + from, length, at: undefined });
        else for (const run of bitmapRuns(bitmap, 0, from, length)) runs.push(placed(run, first, data));
      }
      return runs;
    },
  };
}

/** A run of a block that begins at byte `first` of the disk, and whose data is at byte `data` of the file. */
const placed = ({ offset, length, inside }: SectorRun, first: number, data: number): PlacedRun => ({
  offset: first + offset,
  length,
  at: inside ? data + offset : undefined,
});

/** A range as parts of blocks, `from` a byte of the block on. */
function* partsOf({ offset, length }: Range, blockSize: number): Generator<{ block: number; from: number; length: number }> {
  const end = offset + length;
  for (let at = offset; at < end; ) {
    const block = Math.floor(at / blockSize);
    const from = at - block * blockSize;
    const part = Math.min(blockSize - from, end - at);
    yield { block, from, length: part };
    at += part;
  }
}

/** Reads the bitmap at a byte of the file, unless it is one of those that were used last. */
function cachedBitmaps(bitmapBytes: number, readAt: ReadAt, cacheBytes: number): (at: number) => Promise<Uint8Array> {
  const most = Math.max(1, Math.floor(cacheBytes / bitmapBytes));
  /** In the order of their last use. */
  const kept = new Map<number, Promise<Uint8Array>>();

  async function read(at: number): Promise<Uint8Array> {
    const bitmap = new Uint8Array(bitmapBytes);
    try {
      await readAt(bitmap, at);
    } catch (error) {
      kept.delete(at);
      throw error;
    }
    return bitmap;
  }

  return (at) => {
    const bitmap = kept.get(at) ?? read(at);
    kept.delete(at);
    kept.set(at, bitmap);
    const [oldest] = kept.keys();
    if (kept.size > most && oldest !== undefined) kept.delete(oldest);
    return bitmap;
  };
}
