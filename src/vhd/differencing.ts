/** From the blocks of a differencing VHD to extents: a set bit is data of its own, a clear one lets the parent show. */

import { type DataExtent, discard, type EmptyExtent, type Extent } from '../extent.ts';
import { cut } from './cut.ts';
import type { SectorRun } from './sectors.ts';

/** What has been read, or is being read, of the file: a hole, or data and which parts of it its bitmaps say are present. */
export type Read = { readonly extent: EmptyExtent } | { readonly extent: DataExtent; present(): Iterable<SectorRun> };

/** A differencing disk: what its bitmaps say is present, and holes through which the parent shows. */
export async function* byBitmap(reads: AsyncGenerator<Read>): AsyncGenerator<Extent> {
  for await (const read of ahead(reads, READ_AHEAD)) {
    if (!('present' in read)) {
      yield read.extent;
      continue;
    }
    const { extent } = read;
    try {
      await extent.ready;
    } catch (error) {
      extent.release();
      throw error;
    }
    const runs = [...read.present()];
    yield* cut(
      extent,
      runs.filter(({ inside }) => inside),
    );
    for (const { offset, length, inside } of runs) if (!inside) yield { kind: 'hole', offset, length };
  }
}

/** Reads a few blocks in advance, since each has to be there before it can be cut. What nobody takes any more is given back. */
async function* ahead(reads: AsyncGenerator<Read>, depth: number): AsyncGenerator<Read> {
  const asked: Promise<IteratorResult<Read>>[] = [];
  const drop = (result: IteratorResult<Read>): void => {
    if (!result.done) discard(result.value.extent);
  };
  try {
    for (;;) {
      while (asked.length < depth) {
        const next = reads.next();
        next.catch(() => {}); // told when its turn comes
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
