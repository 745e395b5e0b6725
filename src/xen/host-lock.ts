/** Host lock: work that only one process of the host does at a time, whatever container it runs in, as long as they share the folder. */

import { join } from 'node:path';
import { type LockOptions, withLock } from '../host/lock.ts';
import { defaultLockFolder, preparePrivateFolder } from '../host/private-folder.ts';
import { COMMAND_TIMEOUT } from './toolstack.ts';
import type { XeOptions } from './xe.ts';

/** Runs work while holding the lock. Throws LOCK_FILE, and what `withLock` does. */
export type HostLock = <T>(work: (progress: () => void) => Promise<T>, options?: LockOptions) => Promise<T>;

/**
 * `plug`: one plug or unplug at a time, because XenServer 6 fails when several run concurrently (Launchpad bugs 1217972, 1251716). `reap`: two
 * processes do not remove the same VDI. `export`: VBDs of dead exports are looked for only while no other export creates one. A holder runs a command, and perhaps another one to look up what the first did; one that takes longer
 * than three may, without progress, is waited for no longer.
 */
export const hostLock =
  (name: 'plug' | 'reap' | 'export', { locks = defaultLockFolder(), timeout = COMMAND_TIMEOUT }: XeOptions): HostLock =>
  async (work, { signal, onWarning } = {}) => {
    preparePrivateFolder(locks, 'LOCK_FILE');
    return withLock(join(locks, `${name}.lock`), work, { limit: 3 * timeout, signal, onWarning });
  };
