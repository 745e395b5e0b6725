/** Slices: long loops of the main thread in turns of the event loop, so that signals and the network do not have to wait for their end. */

/** Items of a loop in one turn: about a millisecond, before V8 has optimised the loop. */
export const SLICE_ITEMS = 16 * 1024;

/** Lets everything else that waits for the event loop go first. */
export const nextTurn = (): Promise<void> => new Promise(setImmediate);

/** Calls `work` for [from, to), piece by piece, until it has been called for all of [0, count). A short loop is one piece. */
export async function inSlices(count: number, work: (from: number, to: number) => void): Promise<void> {
  for (let from = 0; from < count; from += SLICE_ITEMS) {
    if (from > 0) await nextTurn();
    work(from, Math.min(count, from + SLICE_ITEMS));
  }
}
