/**
 * Confirms the result or the effect of a call: xapi may queue one for a long time, so a call that timed out, or whose response was lost, may still have taken
 * effect.
 */

import { isOutcomeUnknown } from './refusal.ts';

/** The result of a call, or after an ambiguous error, the result that `find` discovers; the error if it finds none. */
export async function confirmResult<T>(running: Promise<T>, find: () => Promise<T | undefined>): Promise<T> {
  try {
    return await running;
  } catch (error) {
    const found = isOutcomeUnknown(error) ? await find().catch(() => undefined) : undefined;
    if (found === undefined) throw error;
    return found;
  }
}

/** Resolves if a call succeeds, or if it fails but `isDone` reports its effect. */
export async function confirmEffect(running: Promise<unknown>, isDone: () => Promise<boolean>): Promise<void> {
  try {
    await running;
  } catch (error) {
    if (!(await isDone().catch(() => false))) throw error;
  }
}
