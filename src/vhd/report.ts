/** Where a check says what it finds, so that it can go on behind it. */

import { isOfImage, type OnFault, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';

export interface Report {
  readonly fault: OnFault;
  readonly warn: OnWarning;
  /** Seconds since 2000-01-01 UTC. */
  readonly now: number;
}

/** Runs a step, and reports what it throws about the image; but nothing can be read behind what it throws about the source. */
export async function attempt<T>({ fault }: Report, step: () => Promise<T>): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof VdiStreamError) || !isOfImage(error) || error.code === 'SOURCE_TRUNCATED') throw error;
    fault(error);
    return undefined;
  }
}
