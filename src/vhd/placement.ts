/**
 * Placement: where the sectors of a VHD are in its file, so that any range of the disk can be read. It costs 4 bytes per block, for the BAT,
 * and the bitmaps that were used last.
 */

import type { Range } from '../disk/disk.ts';
import { allocatedRanges } from './dynamic.ts';
import type { BlockMetadata, Metadata } from './metadata.ts';
import { bitmapRuns } from './use.ts';

/** A run of the disk: at byte `at` of the file, or, if that is undefined, absent. */
export interface PlacedRun extends Range {
  readonly at: number | undefined;
}

/** Fills `into` with the bytes of the file from `at` on. */
export type ReadAt = (into: Uint8Array, at: number) => Promise<void>;

export interface Placement {
  /** The runs that cover [offset, offset + length), in order. The range is within the disk and consists of whole sectors. */
  runs(offset: number, length: number): Promise<readonly PlacedRun[]>;
  /** Where sectors may be present: ascending and merged. */
  allocated(): Iterable<Range>;
}

/** Bitmaps are read with `readAt`, and kept up to `cacheBytes`. Keeps nothing of the metadata but the table. */
export function placementOf(metadata: Metadata, virtualSize: number, readAt: ReadAt, cacheBytes: number): Placement {
  if (metadata.type !== 'fixed') return blockPlacement(metadata, readAt, cacheBytes);
  return {
    runs: async (offset, length) => [{ offset, length, at: offset }],
    allocated: () => [{ offset: 0, length: virtualSize }],
  };
}

function blockPlacement({ footer, header, bat }: BlockMetadata, readAt: ReadAt, cacheBytes: number): Placement {
  const { blockSize } = header;
  const { bitmapBytes, has, start } = bat;
  const bitmapAt = cachedBitmaps(bitmapBytes, readAt, cacheBytes);

  /** The runs of a range that lies within one block. */
  async function runsIn(block: number, { offset, length }: Range): Promise<PlacedRun[]> {
    if (!has(block)) return [{ offset, length, at: undefined }];
    const first = block * blockSize;
    const data = start(block) + bitmapBytes;
    const bitmap = await bitmapAt(start(block));
    return [...bitmapRuns(bitmap, first, offset - first, length)].map(({ inside, ...run }) => ({
      ...run,
      at: inside ? data + run.offset - first : undefined,
    }));
  }

  return {
    allocated: () => allocatedRanges(footer, header, has),
    async runs(offset, length) {
      const blocks: Array<Promise<PlacedRun[]>> = [];
      for (let at = offset; at < offset + length; ) {
        const block = Math.floor(at / blockSize);
        const end = Math.min((block + 1) * blockSize, offset + length);
        blocks.push(runsIn(block, { offset: at, length: end - at }));
        at = end;
      }
      return (await Promise.all(blocks)).flat();
    },
  };
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
