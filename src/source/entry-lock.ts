/**
 * Entry lock: of all processes of a user that need the same image, one fetches it, and the others wait. The lock file is in the cache, and
 * only that user can open it, so no other user can hold up a fetch:
 *
 *   .vdistream-lock-<uid>-<entry>
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type LockOptions, withLock } from '../host/lock.ts';
import { entryName } from './entries.ts';
import type { Digest } from './source.ts';

const prefix = (): string => `.vdistream-lock-${process.geteuid?.()}-`;

export const withEntryLock = <T>(
  folder: string,
  key: Digest,
  work: (progress: () => void) => Promise<T>,
  { signal, onWarning }: LockOptions,
): Promise<T> => withLock(join(folder, `${prefix()}${entryName(key)}`), work, { signal, onWarning });

/** Removes the lock files of processes that were killed. Never rejects: such a file does no harm. */
export async function removeDeadLocks(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(prefix()));
  // Whoever gets the lock removes its file.
  for (const name of names) await withLock(join(folder, name), async () => {}, { limit: 0 }).catch(() => {});
}
