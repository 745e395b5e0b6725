/** Turns the blocks that are read into extents: sectors that are present as data, the others as holes, which read as the parent. */

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
  for await (const { extent, present, presenceKnown } of late ? ahead(reads, READ_AHEAD) : reads) {
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

/** Reads a few blocks in advance, since each must be complete before it can be cut. Releases those that are not consumed. */
async function* ahead(reads: AsyncGenerator<Read, void, void>, depth: number): AsyncGenerator<Read, void, void> {
  const asked: Promise<IteratorResult<Read, void>>[] = [];
  const drop = (result: IteratorResult<Read, void>): void => {
    if (!result.done) discard(result.value.extent);
  };
  try {
    for (;;) {
      while (asked.length < depth) {
        const next = reads.next();
        next.catch(() => {}); // thrown below, when its turn comes
        asked.push(next);
      }
      const result = await asked.shift();
      if (result === undefined || result.done) return;
      yield result.value;
    }
  } finally {
    for (const next of asked) next.then(drop, () => {});
    // Not awaited: the stream may have stalled.
    reads.return(undefined).catch(() => {});
  }
}

/** Reads under way besides the one that is being cut. */
const READ_AHEAD = 3;
