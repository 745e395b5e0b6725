/**
 * Reservation: a hidden file that keeps a second writer away from a name that does not exist yet. It is locked while it is in use, so a
 * reservation without a lock is that of a killed writer.
 */

import { createHash } from 'node:crypto';
import { lstat, opendir, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { VdiStreamError } from '../errors.ts';
import { ioError, isErrno } from './errno.ts';
import { lockFile } from './file-lock.ts';
import type { Native } from './native.ts';
import { isAt } from './open-file.ts';
import type { Opened } from './opened.ts';
import { isOwn } from './user.ts';

export interface Reservation {
  readonly path: string;
  readonly opened: Opened;
  /** Removes the hidden file, unless it has been renamed, and closes it. Never throws. */
  release(): Promise<void>;
}

const RESERVATION = /^\.vdistream-[0-9a-f]{32}$/;

/** Of the same length for every name, since a name may already be as long as the file system allows. */
const reservationNameOf = (path: string): string => `.vdistream-${createHash('sha256').update(basename(path)).digest('hex').slice(0, 32)}`;

/** Milliseconds, and how many times: another writer that sweeps the folder may hold a reservation in the moment before its owner locks it. */
const RETRY_DELAY = 10;
const TRIES = 100;

/**
 * `folder` is that of `path`, resolved; `direct` is how the hidden file is opened. Throws TARGET_BUSY if the name is reserved, TARGET_OPEN if
 * the folder cannot be written.
 */
export async function reserveName(addon: Native, path: string, folder: string, direct: boolean): Promise<Reservation> {
  await sweep(addon, folder);
  const name = join(folder, reservationNameOf(path));
  for (let tries = 1; ; tries++) {
    const opened = await created(addon, path, name, direct);
    const release = async (): Promise<void> => {
      if (await isAt(name, opened.fd)) await unlink(name).catch(() => {});
      await addon.close(opened.fd).catch(() => {});
    };
    try {
      await lockFile(addon, path, opened.fd);
      if (await isAt(name, opened.fd)) return { path: name, opened, release };
    } catch (error) {
      if (tries === TRIES || !(error instanceof VdiStreamError) || error.code !== 'TARGET_BUSY') {
        await release();
        throw error;
      }
    }
    await release();
    await sleep(RETRY_DELAY);
  }
}

async function created(addon: Native, path: string, name: string, direct: boolean): Promise<Opened> {
  try {
    return await addon.open(name, { write: true, direct, exclusive: true, create: true });
  } catch (cause) {
    if (!isErrno(cause, 'EEXIST')) throw ioError('TARGET_OPEN', path, cause);
    const message = `${path} is being written by another process, which has locked ${name}`;
    throw new VdiStreamError('TARGET_BUSY', message, { device: path, cause });
  }
}

/** Removes the reservations in a folder that nobody holds. Never throws: what it cannot remove is only a hidden file. */
async function sweep(addon: Native, folder: string): Promise<void> {
  try {
    for await (const { name } of await opendir(folder)) if (RESERVATION.test(name)) await removeUnlessHeld(addon, join(folder, name));
  } catch {
    // The folder can be written but not listed, say.
  }
}

async function removeUnlessHeld(addon: Native, name: string): Promise<void> {
  const found = await lstat(name);
  if (!found.isFile() || !isOwn(found)) return;
  const { fd } = await addon.open(name, { write: true, direct: false, exclusive: false, create: false });
  try {
    if ((await addon.lock(fd)) === 1 && (await isAt(name, fd))) await unlink(name);
  } finally {
    await addon.close(fd);
  }
}
