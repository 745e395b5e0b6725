/**
 * Entries: the files of a cache, and which of them have to go.
 *
 *   <algorithm>-<hex>             an image; it was modified when it was last used
 *   .vdistream-<owner>-<uuid>     one that is being fetched (staging.ts)
 *
 * Nothing else in the folder is counted or removed.
 */

import { getHashes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir, rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../host/errno.ts';
import type { Digest } from './source.ts';
import { type PartFile, refuseFull, removeFile, roomIn } from './staging.ts';

/** Algorithms have the names of node:crypto. */
const NAME = /^(?:md5|sha\d+|sha512-\d+|sha3-\d+|blake2[bs]\d+)-[0-9a-f]{32,128}$/;

export const nameOf = ({ algorithm, hex }: Digest): string => `${algorithm}-${hex}`;

/** Whether images can be kept by this digest. It may come from a server, and its text becomes the name of a file. */
export const isKey = (digest: Digest): boolean => NAME.test(nameOf(digest)) && getHashes().includes(digest.algorithm);

/** Undefined where there is none, or what has its name cannot be one, as what another user keeps for himself. */
export async function openEntry(folder: string, key: Digest): Promise<FileHandle | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    // A FIFO would wait for somebody who writes to it.
    return await open(join(folder, nameOf(key)), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (['ENOENT', 'ELOOP', 'ENXIO', 'ENODEV', 'EACCES'].includes(codeOf(error))) return undefined;
    throw error;
  }
}

/** Whatever it is, but for a folder with something in it: that is not of our making. */
export async function removeEntry(folder: string, key: Digest): Promise<void> {
  const path = join(folder, nameOf(key));
  try {
    await removeFile(path);
  } catch (error) {
    if (codeOf(error) !== 'EISDIR') throw error;
    await rmdir(path);
  }
}

/** Makes `part`, which is complete, the entry of `key`. */
export async function keep(part: PartFile, folder: string, key: Digest): Promise<void> {
  await touch(part.file, folder);
  await part.file.sync();
  try {
    await rename(part.path, join(folder, nameOf(key)));
  } catch (error) {
    // Somebody has taken it away. It cannot be kept then, but it can be used.
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes `file` the one that was used last, also if it has not been a millisecond, or if the clock was put back. */
export async function touch(file: FileHandle, folder: string): Promise<void> {
  const newest = (await entriesIn(folder)).at(-1)?.used ?? 0;
  const now = Math.max(Date.now(), newest + 1) / 1000;
  await file.utimes(now, now);
}

interface Entry {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly used: number;
}

/** The least recently used first; of several at the same time, the one whose name comes first. */
async function entriesIn(folder: string): Promise<Entry[]> {
  const names = (await readdir(folder)).filter((name) => NAME.test(name)).sort();
  const entries: Entry[] = [];
  for (const name of names) {
    // Others remove entries, too.
    const found = await lstat(join(folder, name)).catch(() => undefined);
    if (found?.isFile()) entries.push({ name, size: found.size, used: found.mtimeMs });
  }
  return entries.sort((a, b) => a.used - b.used);
}

const sizeOf = (entries: readonly Entry[]): number => entries.reduce((sum, { size }) => sum + size, 0);

/** Removes entries, the least recently used first, until those that are left have at most `size` bytes. */
export async function evict(folder: string, size: number): Promise<void> {
  const entries = await entriesIn(folder);
  let sum = sizeOf(entries);
  for (const entry of entries) {
    if (sum <= size) return;
    if (await gaveUp(folder, entry)) sum -= entry.size;
  }
}

/**
 * Gives up entries where the file system has too little room, and no more of them than are in the way. One that is being read keeps its
 * room until it is closed, so others go instead. Throws CACHE, and gives up nothing, if all of them together would not be enough.
 */
export async function makeRoom(folder: string, length: number): Promise<void> {
  const entries = await entriesIn(folder);
  const room = await roomIn(folder);
  if (room + sizeOf(entries) < length) await refuseFull('CACHE', folder, length);
  // In the end the writes tell whether it was enough: btrfs, for one, gives room back only when there is none left.
  for (const entry of entries) {
    if ((await roomIn(folder)) >= length) return;
    await gaveUp(folder, entry);
  }
}

/** False where this user may not remove it; others have to go in its place. */
async function gaveUp(folder: string, { name }: Entry): Promise<boolean> {
  try {
    await removeFile(join(folder, name));
    return true;
  } catch (error) {
    if (['EPERM', 'EACCES'].includes(codeOf(error))) return false;
    throw error;
  }
}
