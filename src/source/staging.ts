/**
 * Staging: a folder for bytes that are needed again, layers of a chain that come before their leaf in a stream, and whole images. A file in
 * it has no name, or as long as it has one, the name says which process it belongs to:
 *
 *   .vdistream-<owner>-<uuid>
 */

import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, statfs, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cursor } from '../cursor.ts';
import { type ErrorCode, messageOf, VdiStreamError } from '../errors.ts';
import { codeOf, errnoOf } from '../host/errno.ts';
import { isAlive, type Owner, ownerText, parseOwner, thisOwner } from '../host/owner.ts';
import { fileCursor } from './file.ts';

interface Staged {
  readonly cursor: Cursor;
  close(): Promise<void>;
}

/**
 * Copies what is left of `from` into `folder`, which is made if it is not there. The file loses its name before the first byte is written,
 * so nothing is left of it when the process ends, however it ends. Throws STAGING, or what reading `from` does.
 */
export async function stage(folder: string, from: Cursor): Promise<Staged> {
  try {
    await prepareFolder(folder);
    const file = await namelessFile(folder);
    try {
      await writeFile(file, from.chunks());
      await file.datasync(); // or what a bad disk, or a thin volume without space, has not taken would be read as zeros
      const { size } = await file.stat();
      return { cursor: fileCursor(file, size, `a layer in ${folder}`, () => {}), close: () => file.close() };
    } catch (error) {
      await file.close();
      throw error;
    }
  } catch (cause) {
    throw folderError('STAGING', `cannot keep a layer in ${folder}`, cause);
  }
}

/** Makes the folder if it is not there, and removes what processes that have died have left in it. */
export async function prepareFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const name of await readdir(folder)) {
    const owner = partOwner(name);
    if (owner === undefined || isAlive(owner)) continue;
    // What this user may not remove is in nobody's way.
    await unlink(join(folder, name)).catch(() => {});
  }
}

/** A file that other processes of vdistream leave alone as long as this one runs. */
export interface PartFile {
  readonly path: string;
  readonly file: FileHandle;
}

export async function partFile(folder: string): Promise<PartFile> {
  const path = join(folder, `.vdistream-${ownerText(thisOwner())}-${randomUUID()}`);
  return { path, file: await open(path, 'wx+', 0o600) };
}

const PART_NAME = /^\.vdistream-(.+)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const partOwner = (name: string): Owner | undefined => parseOwner(PART_NAME.exec(name)?.[1] ?? '');

/** A file that is gone when it is closed. */
export async function namelessFile(folder: string): Promise<FileHandle> {
  const { path, file } = await partFile(folder);
  try {
    await removeFile(path);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Nothing is wrong if it has gone already. */
export async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Bytes that this user can still write there; infinite for a file system that does not say. */
export async function roomIn(folder: string): Promise<number> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize;
}

/** Throws `code` if the folder has no room for `length` bytes. */
export async function refuseFull(code: ErrorCode, folder: string, length: number): Promise<void> {
  const room = await roomIn(folder);
  if (room >= length) return;
  throw new VdiStreamError(code, `${folder} has room for ${room} bytes, and the image has ${length}. ${MORE_ROOM}`);
}

const MORE_ROOM = 'Free some space there, or name a folder with more.';

/** The typed form of what the file system says about a folder: `failed`, and why. */
export function folderError(code: ErrorCode, failed: string, cause: unknown): VdiStreamError {
  if (cause instanceof VdiStreamError) return cause;
  const reason = messageOf(cause);
  const isFull = ['ENOSPC', 'EDQUOT'].includes(codeOf(cause));
  return new VdiStreamError(code, `${failed}: ${reason}${isFull ? `. ${MORE_ROOM}` : ''}`, { errno: errnoOf(cause), cause });
}
