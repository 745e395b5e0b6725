/** Kernel files: what /proc and /sys show, where anything may be missing, or go while it is read. */

import { readdir, readFile } from 'node:fs/promises';

/** Without the line end; empty if there is no such file. */
export const kernelText = async (path: string): Promise<string> => (await readFile(path, 'utf8').catch(() => '')).replace(/\n$/, '');

/** Empty if the folder cannot be read: a driver that is not there, a process that has ended, or another user's process. */
export const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
