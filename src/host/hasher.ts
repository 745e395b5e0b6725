/** Hasher: a hash that is computed next to other work, so that it costs no time while there is a processor for it. */

import { createHash, type Hash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MiB } from '../bytes.ts';
import { hostError, orHostError } from './errno.ts';
import { addonIfAny, type Hasher } from './native.ts';

/** By the name that node:crypto has for it. Undefined if Node does not have it, or must not use it, as MD5 may be (FIPS). Throws MEMORY. */
export function createHasher(algorithm: string): Hasher | undefined {
  let hash: Hash;
  try {
    hash = createHash(algorithm);
  } catch {
    return undefined;
  }
  return threaded(algorithm) ?? onMainThread(hash);
}

function threaded(algorithm: string): Hasher | undefined {
  const create = addonIfAny()?.Hasher;
  if (create === undefined) return undefined;
  try {
    const hasher = new create(algorithm);
    return { update: (bytes) => orHostError(hasher.update(bytes)), digest: () => hasher.digest() };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw hostError(error) ?? error;
  }
}

/** Bytes hashed before others get a turn: a few milliseconds. */
const PIECE = MiB;

const onMainThread = (hash: Hash): Hasher => ({
  async update(bytes) {
    for (let at = 0; at < bytes.length; at += PIECE) {
      hash.update(bytes.subarray(at, at + PIECE));
      await nextTurn();
    }
  },
  digest: () => hash.digest('hex'),
});
