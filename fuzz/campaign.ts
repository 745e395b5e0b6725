/** Runs a property for a share of FUZZ_SECONDS, says how often and from which seed, and fails as soon as one input does. */

import fc from 'fast-check';
import { expect } from 'vitest';

/** Of all campaigns together. */
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 20);
/** No input of some kilobytes has work for this long: it hangs. */
const HANG = 30_000;

/** The time that vitest grants a campaign of this share. */
export const limit = (share: number): number => SECONDS * share * 1000 + 2 * HANG;

/**
 * FUZZ_SEED repeats a run. An unhandled rejection fails the input that was running then, as does
 * anything that `property` throws.
 */
export async function campaign<T>(
  name: string,
  share: number,
  inputs: fc.Arbitrary<T>,
  property: (input: T) => Promise<void>,
): Promise<void> {
  const unhandled: unknown[] = [];
  const listener = (reason: unknown): void => void unhandled.push(reason instanceof Error ? reason.stack : reason);
  process.on('unhandledRejection', listener);
  let running: Promise<void> = Promise.resolve();
  let runs = 0;
  try {
    const seed = process.env.FUZZ_SEED;
    const checked = fc.asyncProperty(inputs, (input) => {
      runs++;
      running = property(input).then(() => {
        expect(unhandled, 'rejections that nobody handled').toEqual([]);
      });
      running.catch(() => {}); // the time limit may interrupt an input while it is being shrunk
      return running;
    });
    const result = await fc.check(checked, {
      numRuns: Number.MAX_SAFE_INTEGER,
      interruptAfterTimeLimit: SECONDS * share * 1000,
      markInterruptAsFailure: false,
      timeout: HANG,
      ...(seed === undefined ? {} : { seed: Number(seed) }),
    });
    console.log(`${name}: ${runs} runs, FUZZ_SEED=${result.seed}`);
    // Without a counterexample, the time was over before the first input had run; that input is run below.
    if (result.counterexample !== null) throw new Error(fc.defaultReportMessage(result), { cause: result.errorInstance });
    if (runs === 0) await fc.assert(checked, { numRuns: 1, timeout: HANG, seed: result.seed });
    expect(runs).toBeGreaterThan(0);
    // The input that the time limit interrupted must still run to its end.
    await running;
  } finally {
    process.off('unhandledRejection', listener);
  }
}
