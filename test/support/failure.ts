/** The typed error of a call that has to fail. */

import { VdiStreamError } from '../../src/errors.ts';

/** Anything but a VdiStreamError is thrown on: a plain Error from hostile input is a bug. */
export async function failure(work: Promise<unknown>): Promise<VdiStreamError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof VdiStreamError) return error;
    throw error;
  }
  throw new Error('this should have failed');
}
