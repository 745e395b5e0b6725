/** DescriptorPath: a path that leads to an open file, whatever happened to its name: in /proc on Linux, in /dev on macOS and BSD. */

import { fstatSync } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { fileId } from './file-id.ts';

/** Undefined where the system has none, as Windows. */
export async function descriptorPath(fd: number): Promise<string | undefined> {
  for (const path of [`/proc/self/fd/${fd}`, `/dev/fd/${fd}`]) {
    if (await stat(path).catch(() => undefined)) return path;
  }
  return undefined;
}

/** The file of `fd`, which was opened at `path`, for reading. Undefined if `path` leads to another file by now. */
export async function openAgain(path: string, fd: number): Promise<FileHandle | undefined> {
  const file = await open((await descriptorPath(fd)) ?? path, 'r');
  if (fileId(await file.stat()) === fileId(fstatSync(fd))) return file;
  await file.close();
  return undefined;
}
