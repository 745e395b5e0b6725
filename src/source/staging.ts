/**
 * Staging: a folder for whole images, and for layers of a chain that precede their leaf in a stream. A file in it is unnamed, or its name
 * has the process that owns it:
 *
 *   .vdistream-<owner>-<uuid>
 */

import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, statfs, unlink } from 'node:fs/promises';
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
 * Copies the rest of `from` into `folder`, which is created if missing. The file is unlinked before the first byte is written, so nothing is
 * left of it however the process ends. Throws STAGING, and the errors of reading `from`.
 */
export async function stage(folder: string, from: Cursor): Promise<Staged> {
  try {
    await prepareFolder(folder);
    const file = await namelessFile(folder);
    try {
      let written = 0;
      for await (const chunk of from.chunks()) {
        await writeAll(file, chunk, written);
        written += chunk.length;
      }
      await file.datasync(); // or data lost on a bad disk or a full thin volume would read as zeros
      const { size } = await file.stat();
      return { cursor: fileCursor(file, size, `a layer in ${folder}`, () => {}), close: () => file.close() };
    } catch (error) {
      await file.close();
      throw error;
    }
  } catch (cause) {
    throw folderError('STAGING', `cannot store a layer in ${folder}`, cause);
  }
}

/** Node repeats a write that moves nothing for ever, so its `writeFile` is not used. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    if (bytesWritten === 0) throw new Error('the file system accepts no more bytes');
    written += bytesWritten;
  }
}

/** Creates the folder if it is missing, and removes the files of processes that have died. */
export async function prepareFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const name of await readdir(folder)) {
    const owner = partOwner(name);
    if (owner === undefined || isAlive(owner)) continue;
    // A file that this user may not remove does no harm.
    await unlink(join(folder, name)).catch(() => {});
  }
}

/** A file that other vdistream processes leave alone while this one runs. */
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

/** A file that disappears when it is closed. */
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

/** Succeeds if the file is already gone. */
export async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Free bytes for this user; infinite if the file system does not report them. */
export async function roomIn(folder: string): Promise<number> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize;
}

/** Throws `code` if the folder has no room for `length` bytes. */
export async function refuseFull(code: ErrorCode, folder: string, length: number): Promise<void> {
  const room = await roomIn(folder);
  if (room >= length) return;
  throw new VdiStreamError(code, `${folder} has ${room} bytes free, but the image has ${length}. ${MORE_ROOM}`);
}

const MORE_ROOM = 'Free some space there, or use another folder.';

/** The typed error for a file system error in a folder; `failed` begins its message. */
export function folderError(code: ErrorCode, failed: string, cause: unknown): VdiStreamError {
  if (cause instanceof VdiStreamError) return cause;
  const reason = messageOf(cause);
  const isFull = ['ENOSPC', 'EDQUOT'].includes(codeOf(cause));
  return new VdiStreamError(code, `${failed}: ${reason}${isFull ? `. ${MORE_ROOM}` : ''}`, { errno: errnoOf(cause), cause });
}
