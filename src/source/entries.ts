/**
 * Entries: the files of a cache, and which of them to evict.
 *
 *   <algorithm>-<hex>             an image; its modification time is that of its last use
 *   .vdistream-<owner>-<uuid>     an image being fetched (staging.ts)
 *
 * Nothing else in the folder is counted or removed.
 */

import { getHashes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir, rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../host/errno.ts';
import { syncFolder } from '../host/open-file.ts';
import type { Digest } from './source.ts';
import { type PartFile, refuseFull, removeFile, roomIn } from './staging.ts';

/** Algorithms by their names in node:crypto. */
const ENTRY_NAME = /^(?:md5|sha\d+|sha512-\d+|sha3-\d+|blake2[bs]\d+)-[0-9a-f]{32,128}$/;

export const entryName = ({ algorithm, hex }: Digest): string => `${algorithm}-${hex}`;

/** Whether the digest can name an entry. It may come from a server, and becomes a file name. */
export const isKey = (digest: Digest): boolean => ENTRY_NAME.test(entryName(digest)) && getHashes().includes(digest.algorithm);

/** Undefined if the entry is missing, or cannot be one: a link, a FIFO, a file that only its owner may read. */
export async function openEntry(folder: string, key: Digest): Promise<FileHandle | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    return await open(join(folder, entryName(key)), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (['ENOENT', 'ELOOP', 'ENXIO', 'ENODEV', 'EACCES'].includes(codeOf(error))) return undefined;
    throw error;
  }
}

/** Removes whatever has the name of the entry, except a folder that is not empty, which vdistream did not create. */
export async function removeEntry(folder: string, key: Digest): Promise<void> {
  const path = join(folder, entryName(key));
  try {
    await removeFile(path);
  } catch (error) {
    if (codeOf(error) !== 'EISDIR') throw error;
    await rmdir(path);
  }
}

/** Turns the complete `part` into the entry of `key`, and syncs it to the medium. */
export async function addEntry(part: PartFile, folder: string, key: Digest): Promise<void> {
  await touch(part.file, folder);
  await part.file.sync();
  try {
    await rename(part.path, join(folder, entryName(key)));
  } catch (error) {
    // Another process has removed the file. It cannot become an entry, but its open handle still works.
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  await syncFolder(folder);
}

/** Makes `file` the most recently used by its modification time, which is a time of day, even within the same millisecond as another, or after the clock was set back. */
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

/** The least recently used first, ties by name. */
async function entriesIn(folder: string): Promise<Entry[]> {
  const names = (await readdir(folder)).filter((name) => ENTRY_NAME.test(name)).sort();
  const entries: Entry[] = [];
  for (const name of names) {
    // Another process may just have removed it.
    const found = await lstat(join(folder, name)).catch(() => undefined);
    if (found?.isFile()) entries.push({ name, size: found.size, used: found.mtimeMs });
  }
  return entries.sort((a, b) => a.used - b.used);
}

const totalSize = (entries: readonly Entry[]): number => entries.reduce((sum, { size }) => sum + size, 0);

/** Removes entries, the least recently used first, until the rest has at most `size` bytes. */
export async function evict(folder: string, size: number): Promise<void> {
  const entries = await entriesIn(folder);
  let sum = totalSize(entries);
  for (const entry of entries) {
    if (sum <= size) return;
    if (await tryRemove(folder, entry)) sum -= entry.size;
  }
}

/**
 * Removes just enough entries for the file system to have room for `length` bytes. An entry that is being read frees its room only when
 * closed, so more are removed in its place. If all entries together would not be enough, removes nothing and throws CACHE.
 */
export async function makeRoom(folder: string, length: number): Promise<void> {
  const entries = await entriesIn(folder);
  const room = await roomIn(folder);
  if (room + totalSize(entries) < length) await refuseFull('CACHE', folder, length);
  // The writes show whether it was enough: btrfs, for one, frees room only when none is left.
  for (const entry of entries) {
    if ((await roomIn(folder)) >= length) return;
    await tryRemove(folder, entry);
  }
}

/** False if this user may not remove it. */
async function tryRemove(folder: string, { name }: Entry): Promise<boolean> {
  try {
    await removeFile(join(folder, name));
    return true;
  } catch (error) {
    if (['EPERM', 'EACCES'].includes(codeOf(error))) return false;
    throw error;
  }
}
