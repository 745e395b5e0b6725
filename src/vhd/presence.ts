/** Turns the blocks that are read into extents: sectors that are present as data, the others as holes, which read as the parent. */

import { ahead } from '../disk/ahead.ts';
import { cut } from '../disk/cut.ts';
import { type DataExtent, discard, type EmptyExtent, type Extent } from '../disk/extent.ts';
import type { SectorRun } from '../disk/sectors.ts';

/** A part of the file that has been read, or is being read. */
export interface Read {
  readonly extent: DataExtent | EmptyExtent;
  /** Which parts of the data are present; without it, all are. Call it once the data is ready, or earlier if `presenceKnown`. */
  present?(): Iterable<SectorRun>;
  readonly presenceKnown?: boolean;
}

/** With `late`, presence is known only once a block has been read, so a few are read in advance. */
export async function* extentsOf(reads: AsyncGenerator<Read, void, void>, late: boolean): AsyncGenerator<Extent, void, void> {
  // Each block must be complete before it can be cut.
  for await (const { extent, present, presenceKnown } of late ? ahead(reads, READ_AHEAD, ({ extent }) => discard(extent)) : reads) {
    if (extent.kind !== 'data' || present === undefined) {
      yield extent;
      continue;
    }
    if (!presenceKnown) await readyOrReleased(extent);
    const runs = [...present()];
    yield* cut(
      extent,
      runs.filter(({ inside }) => inside),
    );
    for (const { offset, length, inside } of runs) if (!inside) yield { kind: 'hole', offset, length };
  }
}

async function readyOrReleased(extent: DataExtent): Promise<void> {
  try {
    await extent.ready;
  } catch (error) {
    extent.release();
    throw error;
  }
}

/** Reads under way besides the one that is being cut. */
const READ_AHEAD = 3;
