/** PortableIo: positioned reads and writes of whole ranges by `node:fs`, on libuv's threads, in the place of the addon. */

import { fstat, read as readAt, write as writeAt } from 'node:fs';
import { promisify } from 'node:util';
import { GiB, KiB, MiB } from '../bytes.ts';
import { addSums } from './portable-sums.ts';
import { operationError, systemError } from './system-error.ts';

const calls = { fstat: promisify(fstat), read: promisify(readAt), write: promisify(writeAt) };

/** libuv counts the bytes of a call in 31 bits. */
const LONGEST = GiB;

export async function readWhole(fd: number, into: Uint8Array, offset: number, sums?: BigUint64Array): Promise<void> {
  for (let filled = 0; filled < into.length; ) {
    const length = Math.min(into.length - filled, LONGEST);
    const at = offset + filled;
    const { bytesRead } = await calls.read(fd, into, filled, length, at).catch((cause: unknown) => {
      throw operationError('read', cause, at);
    });
    filled += bytesRead;
    if (bytesRead > 0) continue;
    if (!(await isPartialSector(fd, offset + filled, into.length - filled))) throw systemError('ENODATA', 'read', { offset: at });
    into.fill(0, filled);
    break;
  }
  if (sums !== undefined) addSums(sums, into, offset);
}

/** The last sector of a file may be partial; the rest of it reads as zero, as on a device. */
async function isPartialSector(fd: number, end: number, left: number): Promise<boolean> {
  if (left >= 4 * KiB) return false;
  const found = await calls.fstat(fd);
  return found.isFile() && end >= found.size;
}

export async function writeWhole(fd: number, bytes: Uint8Array, offset: number, sums?: BigUint64Array): Promise<void> {
  if (sums !== undefined) addSums(sums, bytes, offset);
  for (let written = 0; written < bytes.length; ) {
    const length = Math.min(bytes.length - written, LONGEST);
    const at = offset + written;
    const { bytesWritten } = await calls.write(fd, bytes, written, length, at).catch((cause: unknown) => {
      throw operationError('write', cause, at);
    });
    if (bytesWritten === 0) throw systemError('ENOSPC', 'write', { offset: at });
    written += bytesWritten;
  }
}

const ZERO_PIECE = new Uint8Array(MiB);

/** `node:fs` cannot punch holes. What is cut off and grown again reads as zero, but only at the end of a file. */
export const ZERO_METHODS: readonly string[] = ['write'];

/** Resolves with the index of the method. */
export async function zeroRange(fd: number, offset: number, length: number): Promise<number> {
  for (let at = 0; at < length; at += ZERO_PIECE.length) await writeWhole(fd, ZERO_PIECE.subarray(0, length - at), offset + at);
  return 0;
}
