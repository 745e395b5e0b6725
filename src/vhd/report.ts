/** Where a check reports its findings, so that it can continue after them. */

import { isOfImage, type OnFault, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';

export interface Report {
  readonly fault: OnFault;
  readonly warn: OnWarning;
  /** Seconds since 2000-01-01 UTC. */
  readonly now: number;
}

/** Runs a step and reports its error. Throws errors of the source and SOURCE_TRUNCATED instead: nothing can be read after them. */
export async function attempt<T>({ fault }: Report, step: () => Promise<T>): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof VdiStreamError) || !isOfImage(error) || error.code === 'SOURCE_TRUNCATED') throw error;
    fault(error);
    return undefined;
  }
}
