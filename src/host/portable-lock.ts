/**
 * PortableLock: locks on open files in the place of fcntl(2), which `node:fs` does not have. Each is an empty file in a private folder, so it
 * excludes processes of the same user:
 *
 *   file-<device>-<inode>.<r|w>.<owner>.<uuid>
 *
 * Whoever requests a lock creates its file first and looks at the others then: of two that do so together, at least one sees the other. No
 * name is used twice, so one that is left by a killed process can be removed at any time.
 */

import { randomUUID } from 'node:crypto';
import { fstatSync } from 'node:fs';
import { open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, ownerText, parseOwner, thisOwner } from './owner.ts';
import { defaultLockFolder, preparePrivateFolder } from './private-folder.ts';

/** The path of the lock of each descriptor. */
const held = new Map<number, string>();
/** Descriptors that are only readable: their locks are shared. */
const readers = new Set<number>();

export const markReader = (fd: number): void => void readers.add(fd);

const NAME = /^\.([rw])\.(.+)\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** 0 if another open file holds a conflicting lock, or requests one in this moment. Throws LOCK_FILE. */
export async function lock(fd: number): Promise<0 | 1> {
  const folder = defaultLockFolder();
  preparePrivateFolder(folder, 'LOCK_FILE');
  // As numbers, those of Windows may be rounded.
  const { dev, ino } = fstatSync(fd, { bigint: true });
  const file = `file-${dev}-${ino}`;
  const mode = readers.has(fd) ? 'r' : 'w';
  const own = `${file}.${mode}.${ownerText(thisOwner())}.${randomUUID()}`;
  await (await open(join(folder, own), 'wx', 0o600)).close();
  if (await isTaken(folder, file, own, mode)) {
    await removeLock(join(folder, own));
    return 0;
  }
  held.set(fd, join(folder, own));
  return 1;
}

async function isTaken(folder: string, file: string, own: string, mode: 'r' | 'w'): Promise<boolean> {
  for (const name of await readdir(folder)) {
    if (name === own || !name.startsWith(`${file}.`)) continue;
    const [, other, text = ''] = NAME.exec(name.slice(file.length)) ?? [];
    if (other === undefined || (mode === 'r' && other === 'r')) continue;
    const owner = parseOwner(text);
    if (owner === undefined || isAlive(owner)) return true;
    await removeLock(join(folder, name));
  }
  return false;
}

/** To be called before the descriptor is closed, since its number may belong to another file then. Returns the path for `removeLock`. */
export function forgetDescriptor(fd: number): string | undefined {
  const path = held.get(fd);
  held.delete(fd);
  readers.delete(fd);
  return path;
}

export const removeLock = (path: string): Promise<void> => unlink(path).catch(() => {});
