/** Whether a path still leads to an open file, and its folder on the medium. */

import { constants, fstatSync } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { fileId } from './file-id.ts';

/** A path to a symbolic link leads to the link. */
export async function isAt(path: string, fd: number): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  return found !== undefined && fileId(found) === fileId(fstatSync(fd));
}

/** Resolves when the names in a folder are on the medium: syncing a file does not sync its name (fsync(2)). */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return; // it opens no folder as a file
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
