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
const ENTRY_NAME = /^(?:md5|sha\d+|sha512-\d+|sha3-\d+|blake2[bs]\d+)-[0-9a-f]{32,128}$/;

export const entryName = ({ algorithm, hex }: Digest): string => `${algorithm}-${hex}`;

/** Whether images can be kept by this digest. It may come from a server, and its text becomes the name of a file. */
export const isKey = (digest: Digest): boolean => ENTRY_NAME.test(entryName(digest)) && getHashes().includes(digest.algorithm);

/** Undefined where there is none, or what has its name cannot be one: a link, a FIFO, a file that only its owner may read. */
export async function openEntry(folder: string, key: Digest): Promise<FileHandle | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    // Opening a FIFO would wait for a writer.
    return await open(join(folder, entryName(key)), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (['ENOENT', 'ELOOP', 'ENXIO', 'ENODEV', 'EACCES'].includes(codeOf(error))) return undefined;
    throw error;
  }
}

/** Whatever it is, but for a folder with something in it, which is none of ours. */
export async function removeEntry(folder: string, key: Digest): Promise<void> {
  const path = join(folder, entryName(key));
  try {
    await removeFile(path);
  } catch (error) {
    if (codeOf(error) !== 'EISDIR') throw error;
    await rmdir(path);
  }
}

/** Makes `part`, which is complete, the entry of `key`, and waits until that is on the medium. */
export async function addEntry(part: PartFile, folder: string, key: Digest): Promise<void> {
  await touch(part.file, folder);
  await part.file.sync();
  try {
    await rename(part.path, join(folder, entryName(key)));
  } catch (error) {
    // Something else has removed the file. It cannot become an entry then, but it can be read.
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

/** Makes `file` the one that was used last, also within one millisecond of another, or after the clock was set back. */
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
  const names = (await readdir(folder)).filter((name) => ENTRY_NAME.test(name)).sort();
  const entries: Entry[] = [];
  for (const name of names) {
    // Others remove entries, too.
    const found = await lstat(join(folder, name)).catch(() => undefined);
    if (found?.isFile()) entries.push({ name, size: found.size, used: found.mtimeMs });
  }
  return entries.sort((a, b) => a.used - b.used);
}

const totalSize = (entries: readonly Entry[]): number => entries.reduce((sum, { size }) => sum + size, 0);

/** Removes entries, the least recently used first, until those that are left have at most `size` bytes. */
export async function evict(folder: string, size: number): Promise<void> {
  const entries = await entriesIn(folder);
  let sum = totalSize(entries);
  for (const entry of entries) {
    if (sum <= size) return;
    if (await tryRemove(folder, entry)) sum -= entry.size;
  }
}

/**
 * Removes entries until the file system has room for `length` bytes, and no more of them than that takes. One that is being read keeps its
 * room until it is closed, so others go instead. Throws CACHE, and removes nothing, if all of them together would not be enough.
 */
export async function makeRoom(folder: string, length: number): Promise<void> {
  const entries = await entriesIn(folder);
  const room = await roomIn(folder);
  if (room + totalSize(entries) < length) await refuseFull('CACHE', folder, length);
  // The writes show whether it was enough: btrfs, for one, gives room back only when there is none left.
  for (const entry of entries) {
    if ((await roomIn(folder)) >= length) return;
    await tryRemove(folder, entry);
  }
}

/** False where this user may not remove it; others have to go in its place. */
async function tryRemove(folder: string, { name }: Entry): Promise<boolean> {
  try {
    await removeFile(join(folder, name));
    return true;
  } catch (error) {
    if (['EPERM', 'EACCES'].includes(codeOf(error))) return false;
    throw error;
  }
}
