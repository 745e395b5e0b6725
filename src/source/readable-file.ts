/** ReadableFile: a regular file or a block device whose bytes, and not those of a disk in it, can be read at any place. */

import { fstatSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { Cursor } from '../cursor.ts';
import type { Range } from '../disk/disk.ts';
import { VdiStreamError } from '../errors.ts';
import { openAgain } from '../host/descriptor-path.ts';
import { guarded } from '../host/errno.ts';
import { native } from '../host/native.ts';
import { dataOf, refuseOther, versionOf } from './device-disk.ts';
import { fileCursor, readFully } from './file.ts';
import { sharing } from './path.ts';

/** Offsets and lengths are in bytes. Unlike those of a ReadableDisk, reads need no alignment. */
export interface ReadableFile {
  /** For messages: the path. */
  readonly name: string;
  readonly kind: 'block' | 'file';
  /** By now: a file may grow. */
  readonly size: number;
  /** Fills `into`; several calls may run concurrently. Throws SOURCE_READ, and SOURCE_TRUNCATED if the file has become shorter. */
  read(into: Uint8Array, at: number): Promise<void>;
  /** A cursor of its own, at the start. */
  cursor(): Cursor;
  /** The parts that are not holes of the file. */
  data(signal?: AbortSignal): AsyncIterable<Range>;
  /** As those of a ReadableDisk. */
  version(): Promise<string | undefined>;
  sharesBytesWith(path: string): Promise<boolean>;
  /** Waits for the reads that have begun. */
  close(): Promise<void>;
}

/** Throws SOURCE_OPEN. The caller closes it. */
export async function openReadableFile(path: string): Promise<ReadableFile> {
  const addon = native();
  // The addon does not wait for the writer of a FIFO, and asks a device for its size. Closing a FileHandle waits for its reads.
  const flags = { write: false, direct: false, exclusive: false, create: false };
  const { fd: found, kind, size: sizeAtOpen } = await guarded('SOURCE_OPEN', path, addon.open(path, flags));
  let file: FileHandle;
  try {
    refuseOther(path, kind);
    const again = await guarded('SOURCE_OPEN', path, openAgain(path, found));
    if (again === undefined) throw new VdiStreamError('SOURCE_OPEN', `${path} was replaced while it was being opened`, { device: path });
    file = again;
  } finally {
    await addon.close(found).catch(() => {}); // it was only read
  }
  const { fd } = file;
  const size = (): number => (kind === 'file' ? fstatSync(fd).size : sizeAtOpen);
  return {
    name: path,
    kind,
    get size() {
      return size();
    },
    read: (into, at) => readFully(file, path, [into], at),
    cursor: () => fileCursor(file, size(), path, () => {}, kind === 'block'),
    data: (signal) => dataOf(path, { fd, kind, size: size() }, signal),
    version: () => versionOf(fd, kind),
    sharesBytesWith: sharing(fstatSync(fd)),
    close: () => file.close(),
  };
}
