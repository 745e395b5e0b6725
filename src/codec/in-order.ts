/** Work on several pieces of a stream at a time, with the results in the order of the stream. */

import { availableParallelism } from 'node:os';

/** As many as the addon has threads for it. Each adds up to 4 MiB of buffers. */
const MAX_LANES = 16;

/** Pieces that are worked on at a time, plus one that is being filled and one that is being used. */
export const slotCount = (): number => Math.min(availableParallelism(), MAX_LANES) + 2;

interface Running<Slot, Result> {
  readonly slot: Slot;
  readonly result: Promise<Result>;
  settled: boolean;
}

interface PieceSteps<Slot, Result> {
  readonly create: () => Slot;
  /**
   * The next piece of the stream into a slot; false at its end. One call at a time. `wanted` resolves once the reader has nothing else to
   * wait for: then a slot that is partly filled is better than a wait for a slow source.
   */
  readonly fill: (slot: Slot, wanted: Promise<void>) => Promise<boolean>;
  /** On several slots at a time. */
  readonly work: (slot: Slot) => Promise<Result>;
}

/**
 * Each slot after it was filled and worked on, in order, with the result. A slot is used again once the next one is requested. The error of
 * `fill` is thrown after the slots before it. When the reader stops, all work has settled; a `fill` may still be waiting for its source.
 */
export async function* inOrder<Slot, Result>(
  count: number,
  { create, fill, work }: PieceSteps<Slot, Result>,
): AsyncGenerator<{ readonly slot: Slot; readonly result: Result }, void, void> {
  const free: Slot[] = [];
  const running: Running<Slot, Result>[] = [];
  let created = 0;
  let ended = false;
  let failure: { readonly error: unknown } | undefined;
  let filling: Promise<void> | undefined;
  let want = (): void => {};

  function start(slot: Slot): void {
    const run: Running<Slot, Result> = { slot, result: work(slot), settled: false };
    const settle = (): void => {
      run.settled = true;
    };
    run.result.then(settle, settle);
    running.push(run);
  }

  async function fillNext(slot: Slot): Promise<void> {
    try {
      const wanted = new Promise<void>((resolve) => {
        want = resolve;
      });
      if (await fill(slot, wanted)) start(slot);
      else ended = true;
    } catch (error) {
      failure = { error };
      ended = true;
    }
    filling = undefined;
    advance();
  }

  function advance(): void {
    if (filling !== undefined || ended) return;
    if (free.length === 0 && created < count) {
      created++;
      free.push(create());
    }
    const slot = free.pop();
    if (slot !== undefined) filling = fillNext(slot);
  }

  try {
    for (;;) {
      advance();
      const oldest = running[0];
      if (oldest?.settled) {
        running.shift();
        yield { slot: oldest.slot, result: await oldest.result };
        free.push(oldest.slot);
      } else if (filling !== undefined) {
        if (oldest === undefined) want();
        await (oldest === undefined ? filling : Promise.race([filling, oldest.result.catch(() => {})]));
      } else if (oldest !== undefined) {
        await oldest.result.catch(() => {});
      } else {
        if (failure !== undefined) throw failure.error;
        return;
      }
    }
  } finally {
    ended = true;
    await Promise.allSettled(running.map(({ result }) => result));
  }
}
