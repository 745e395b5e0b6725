/** The typed error of a call that has to fail, or may. */

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

/** The code of the error, or `ok`. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    if (error instanceof VdiStreamError) return error.code;
    throw error;
  }
}
