/**
 * A file that does not exist yet as a target. It appears under its name when it is closed: complete, on the medium, and never in place of
 * another file.
 *
 * The disk is written to a file without a name, which the kernel frees however this process ends (O_TMPFILE, open(2)), while a reservation keeps
 * other writers away. Where a file system has no unnamed files, the disk is written to the reservation.
 */

import { link, lstat, realpath, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { roundUp } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { codeOf, guarded, ioError, isErrno } from '../host/errno.ts';
import type { Native, Opened } from '../host/native.ts';
import { isAt, syncFolder } from '../host/open-file.ts';
import type { OnWarning } from '../warnings.ts';
import { warnIfBuffered } from './file.ts';
import { ioOf } from './io.ts';
import { type Reservation, reserveName } from './reservation.ts';
import type { Target } from './target.ts';

interface NewFileOptions {
  /** Bytes of the disk, and of the file in the end. */
  readonly size: number;
  readonly dryRun: boolean;
  readonly onWarning: OnWarning | undefined;
}

/** Throws TARGET_BUSY if another process is creating the same file. */
export async function newFile(addon: Native, path: string, { size: wanted, dryRun, onWarning }: NewFileOptions): Promise<Target> {
  const folder = await guarded('TARGET_OPEN', path, realpath(dirname(path)));
  const reservation = dryRun ? undefined : await reserveName(addon, path, folder);
  let opened: Opened | undefined;
  try {
    opened = (await unnamed(addon, path, folder)) ?? reservation?.opened;
    if (opened === undefined) throw new VdiStreamError('TARGET_OPEN', `${folder} has no unnamed files for a dry run`, { device: path });
    warnIfBuffered(path, opened, onWarning);
    // Whole sectors until the file is closed, since O_DIRECT cannot write a partial one.
    const size = roundUp(wanted, opened.sector);
    await guarded('TARGET_WRITE', path, addon.truncate(opened.fd, size));
    const { io, shut } = ioOf(addon, path, opened);
    const final = { path, at: join(folder, basename(path)), folder, wanted, size, shut };
    return {
      name: path,
      size,
      align: opened.sector,
      readsZero: true,
      direct: opened.direct,
      ...io,
      ...ends(addon, opened, reservation, final),
    };
  } catch (error) {
    await dropFile(addon, opened, reservation);
    throw error;
  }
}

/** Undefined if the file system has no unnamed files. */
async function unnamed(addon: Native, path: string, folder: string): Promise<Opened | undefined> {
  try {
    return await addon.open(folder, { write: true, direct: true, exclusive: false, create: false, unnamed: true });
  } catch (cause) {
    if (isErrno(cause, 'EOPNOTSUPP', 'EISDIR', 'EINVAL', 'ENOENT')) return undefined;
    throw ioError('TARGET_OPEN', path, cause);
  }
}

interface Final {
  /** As given, for messages. */
  readonly path: string;
  /** The same, resolved. */
  readonly at: string;
  readonly folder: string;
  readonly wanted: number;
  /** Bytes until it is closed. */
  readonly size: number;
  readonly shut: () => Promise<void>;
}

function ends(addon: Native, opened: Opened, reservation: Reservation | undefined, final: Final): Pick<Target, 'close' | 'abandon'> {
  let open = true;
  async function end(finish: () => Promise<void>): Promise<void> {
    if (!open) return;
    open = false;
    await final.shut();
    try {
      await finish();
    } finally {
      await dropFile(addon, opened, reservation);
    }
  }
  return {
    abandon: () => end(async () => {}),
    close: () => end(async () => (reservation === undefined ? undefined : publish(addon, opened, reservation, final))),
  };
}

/** Frees the file, unless it has its final name by now. */
async function dropFile(addon: Native, opened: Opened | undefined, reservation: Reservation | undefined): Promise<void> {
  if (opened !== undefined && opened !== reservation?.opened) await addon.close(opened.fd).catch(() => {});
  await reservation?.release();
}

async function publish(addon: Native, opened: Opened, reservation: Reservation, { path, at, folder, wanted, size }: Final): Promise<void> {
  const { fd } = opened;
  if (wanted !== size) await guarded('TARGET_SYNC', path, addon.truncate(fd, wanted));
  await guarded('TARGET_SYNC', path, addon.sync(fd));
  try {
    await (opened === reservation.opened ? nameReserved(reservation.path, at) : addon.link(fd, at));
  } catch (cause) {
    if (!isErrno(cause, 'EEXIST')) throw ioError('TARGET_SYNC', path, cause);
    const message = `another program has created ${path} meanwhile; it was left as it is, and this disk was discarded`;
    throw new VdiStreamError('TARGET_BUSY', message, { device: path, cause });
  }
  try {
    await guarded('TARGET_SYNC', path, syncFolder(folder));
  } catch (error) {
    // A power cut could still take the name away, so this is no success.
    if (await isAt(at, fd)) await unlink(at).catch(() => {});
    throw error;
  }
}

/** A file system without hard links (FAT) can only rename, which replaces a file that another program creates in that moment. */
async function nameReserved(reservation: string, at: string): Promise<void> {
  try {
    await link(reservation, at);
    return;
  } catch (cause) {
    if (!NO_LINKS.has(codeOf(cause))) throw cause;
  }
  const found = await lstat(at).catch(() => undefined);
  if (found !== undefined) throw Object.assign(new Error(`${at} exists`), { errno: 17 });
  await rename(reservation, at);
}

const NO_LINKS = new Set(['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK']);
