/**
 * Entry lock: of all processes of a user that need the same image, one fetches it, and the others wait. The lock file is in the cache, and
 * only that user can open it, so no other user can hold up a fetch:
 *
 *   .vdistream-lock-<uid>-<entry>
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { VdiStreamError } from '../errors.ts';
import { type LockOptions, withLock } from '../host/lock.ts';
import { effectiveUser } from '../host/user.ts';
import { entryName } from './entries.ts';
import type { Digest } from './source.ts';

const prefix = (): string => `.vdistream-lock-${effectiveUser() ?? 0}-`;

/** Throws CACHE if the lock file cannot be used, and otherwise what `withLock` does. */
export async function withEntryLock<T>(
  folder: string,
  key: Digest,
  work: (progress: () => void) => Promise<T>,
  { signal, onWarning }: LockOptions,
): Promise<T> {
  try {
    return await withLock(join(folder, `${prefix()}${entryName(key)}`), work, { signal, onWarning });
  } catch (cause) {
    if (!(cause instanceof VdiStreamError) || cause.code !== 'LOCK_FILE') throw cause;
    throw new VdiStreamError('CACHE', cause.message, { errno: cause.errno, cause });
  }
}

/** Removes the lock files of processes that were killed. Never rejects: such a file does no harm. */
export async function removeDeadLocks(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(prefix()));
  // Whoever gets the lock removes its file.
  for (const name of names) await withLock(join(folder, name), async () => {}, { limit: 0 }).catch(() => {});
}
