/** PortableDescriptor: calls of the addon on an open descriptor that take no buffer, by `node:fs`. */

import { close, fstat, fsync, ftruncate } from 'node:fs';
import { promisify } from 'node:util';
import { forgetDescriptor, removeLock } from './portable-lock.ts';
import { operationError, systemError } from './system-error.ts';

const calls = { close: promisify(close), fstat: promisify(fstat), fsync: promisify(fsync), truncate: promisify(ftruncate) };

const failed =
  (operation: string) =>
  (cause: unknown): never => {
    throw operationError(operation, cause);
  };

/** Its lock ends with it. */
export async function closeFile(fd: number): Promise<void> {
  const lock = forgetDescriptor(fd);
  try {
    await calls.close(fd).catch(failed('close'));
  } finally {
    if (lock !== undefined) await removeLock(lock);
  }
}

export const sync = (fd: number): Promise<void> => calls.fsync(fd).catch(failed('fsync'));

export const truncate = (fd: number, length: number): Promise<void> => calls.truncate(fd, length).catch(failed('truncate'));

/** `node:fs` opens no file without a name. */
export const link = async (): Promise<void> => {
  throw systemError('EOPNOTSUPP', 'link');
};

const fileSize = async (fd: number, operation: string): Promise<number> => (await calls.fstat(fd).catch(failed(operation))).size;

/** All is data: `node:fs` cannot ask for holes. */
export const seekData = async (fd: number, offset: number): Promise<number> => Math.min(offset, await fileSize(fd, 'seekData'));

export const seekHole = (fd: number): Promise<number> => fileSize(fd, 'seekHole');

const PAGE = 4096;

/** All pages stay: `node:fs` cannot drop them from the page cache. */
export async function uncache(fd: number, offset: number, length: number): Promise<number> {
  const end = Math.min(offset + length, await fileSize(fd, 'uncache'));
  return Math.max(0, Math.ceil((end - offset) / PAGE));
}
