/** Turns the blocks that are read into extents: sectors that are present as data, the others as holes, which read as the parent. */

import { ahead } from '../disk/ahead.ts';
import { cut } from '../disk/cut.ts';
import { type DataExtent, discard, type EmptyExtent, type Extent } from '../disk/extent.ts';
import type { SectorRun } from '../disk/sectors.ts';
import { isReady, MANY_PIECES, type Tap, untapped } from '../disk/tap.ts';

/** A part of the file that has been read, or is being read. */
export interface Read {
  readonly extent: DataExtent | EmptyExtent;
  /** Which parts of the data are present; without it, all are. Call it once the data is ready, or earlier if `presenceKnown`. */
  present?(): Iterable<SectorRun>;
  readonly presenceKnown?: boolean;
}

interface PresenceOptions {
  /** Presence is known only once a block has been read, so a few are read in advance. */
  readonly late: boolean;
  readonly tap: Tap | undefined;
}

export async function* extentsOf(
  reads: AsyncGenerator<Read, void, void>,
  { late, tap }: PresenceOptions,
): AsyncGenerator<Extent, void, void> {
  // Each block must be complete before it can be cut.
  for await (const { extent, present: runsOf, presenceKnown } of late ? ahead(reads, READ_AHEAD, ({ extent }) => discard(extent)) : reads) {
    if (extent.kind !== 'data' || runsOf === undefined) {
      yield extent;
      continue;
    }
    if (!presenceKnown) await readyOrReleased(extent);
    const runs = [...runsOf()];
    const usable = tap !== undefined && runs.length > MANY_PIECES && (await isReady(extent)) ? tap : undefined;
    const present = runs.filter(({ inside }) => inside);
    yield* untapped(cut(extent, present), usable);
    const absent = runs.filter(({ inside }) => !inside);
    yield* untapped(
      absent.map(({ offset, length }) => ({ kind: 'hole', offset, length })),
      usable,
    );
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
