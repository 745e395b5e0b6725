/**
 * A file that does not exist yet. It appears under its name when it is published: complete, on the medium, and never in place of another
 * file, unless the caller asked to replace one.
 *
 * It is written without a name, so that the kernel frees it however this process ends (O_TMPFILE, open(2)), while a reservation keeps other
 * writers away. Where a file system has no unnamed files, and to replace a file, the reservation itself is written.
 */

import { randomUUID } from 'node:crypto';
import { chmod, link, lstat, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { VdiStreamError } from '../errors.ts';
import { codeOf, guarded, ioError, isErrno } from './errno.ts';
import type { Native } from './native.ts';
import { isAt, syncFolder } from './open-file.ts';
import type { Opened } from './opened.ts';
import { type Reservation, reserveName } from './reservation.ts';

interface NewFile {
  readonly opened: Opened;
  /** Cuts it to `length` bytes, syncs it and gives it its name; call it once. Throws TARGET_SYNC, and TARGET_BUSY if the name is taken by now. */
  publish(length?: number): Promise<void>;
  /** Frees the file, unless it has been published. Never throws; call it in any case. */
  close(): Promise<void>;
}

interface NewFileOptions {
  readonly direct: boolean;
  /** An existing file is replaced. */
  readonly replace?: boolean;
  /** It will never be published, so nothing in its folder changes. */
  readonly dryRun?: boolean;
}

/** Throws TARGET_BUSY if another process is creating the same file, and TARGET_OPEN. */
export async function createFile(
  addon: Native,
  path: string,
  { direct, replace = false, dryRun = false }: NewFileOptions,
): Promise<NewFile> {
  // Symbolic links to a file that is replaced stay.
  const named = replace ? await realpath(path).catch(() => path) : path;
  const folder = await guarded('TARGET_OPEN', path, realpath(dirname(named)));
  const at = join(folder, basename(named));
  const reservation = dryRun ? undefined : await reserveName(addon, at, folder, direct);
  let opened: Opened | undefined;
  try {
    opened = (replace ? undefined : await unnamed(addon, path, folder, direct)) ?? reservation?.opened;
    opened ??= await unlinked(addon, path, folder, direct);
    return handleOf(addon, opened, reservation, { path, at, folder, replace });
  } catch (error) {
    await reservation?.release();
    throw error;
  }
}

function handleOf(addon: Native, opened: Opened, reservation: Reservation | undefined, name: Name): NewFile {
  let open = true;
  return {
    opened,
    async publish(length) {
      if (reservation !== undefined) await publish(addon, opened, reservation, name, length);
    },
    async close() {
      if (!open) return;
      open = false;
      if (opened !== reservation?.opened) await addon.close(opened.fd).catch(() => {});
      await reservation?.release();
    },
  };
}

/** Undefined if the file system has no unnamed files. */
async function unnamed(addon: Native, path: string, folder: string, direct: boolean): Promise<Opened | undefined> {
  try {
    return await addon.open(folder, { write: true, direct, exclusive: false, create: false, unnamed: true });
  } catch (cause) {
    if (isErrno(cause, 'EOPNOTSUPP', 'EISDIR', 'EINVAL', 'ENOENT')) return undefined;
    throw ioError('TARGET_OPEN', path, cause);
  }
}

/** For a dry run where the file system has no unnamed files: the folder shows it for a moment. */
async function unlinked(addon: Native, path: string, folder: string, direct: boolean): Promise<Opened> {
  const name = join(folder, `.vdistream-${randomUUID()}`);
  const opened = await guarded('TARGET_OPEN', path, addon.open(name, { write: true, direct, exclusive: true, create: true }));
  await unlink(name);
  return opened;
}

interface Name {
  /** As given, for messages. */
  readonly path: string;
  /** The same, resolved. */
  readonly at: string;
  readonly folder: string;
  readonly replace: boolean;
}

async function publish(addon: Native, opened: Opened, reservation: Reservation, name: Name, length: number | undefined): Promise<void> {
  const { path, at, folder, replace } = name;
  const { fd } = opened;
  if (length !== undefined) await guarded('TARGET_SYNC', path, addon.truncate(fd, length));
  await guarded('TARGET_SYNC', path, addon.sync(fd));
  try {
    if (replace) await takeName(reservation.path, at);
    else await (opened === reservation.opened ? nameReserved(reservation.path, at) : addon.link(fd, at));
  } catch (cause) {
    if (!isErrno(cause, 'EEXIST')) throw ioError('TARGET_SYNC', path, cause);
    const message = `another program has created ${path} meanwhile; it was left as it is, and this disk was discarded`;
    throw new VdiStreamError('TARGET_BUSY', message, { device: path, cause });
  }
  try {
    await guarded('TARGET_SYNC', path, syncFolder(folder));
  } catch (error) {
    // A power cut could still take the name away, so this is no success.
    if (!replace && (await isAt(at, fd))) await unlink(at).catch(() => {});
    throw error;
  }
}

/** The new file gets the name and the permissions of the old one. */
async function takeName(reservation: string, at: string): Promise<void> {
  const old = await stat(at).catch(() => undefined);
  if (old !== undefined) await chmod(reservation, old.mode & 0o7777);
  await rename(reservation, at);
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

/** On Windows it is EISDIR: libuv's name for ERROR_INVALID_FUNCTION. */
const NO_LINKS = new Set(['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EISDIR']);
