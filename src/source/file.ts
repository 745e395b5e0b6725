/** A cursor over a regular file or a block device: it seeks, and several reads may run in parallel. */

import type { FileHandle } from 'node:fs/promises';
import { type Cursor, totalLength, truncated } from '../cursor.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import { errnoOf, guarded } from '../host/errno.ts';
import { native } from '../host/native.ts';
import { readAhead, twoBuffers } from '../host/read-ahead.ts';

/** Bytes per chunk: large enough to keep a disk busy. */
const CHUNK = 512 * 1024;
/** Read at a time where small pieces are looked at one after the other, such as the headers of an archive of many small files. */
const WINDOW = 64 * 1024;

/**
 * A cursor over the first `length` bytes of `file`, called `name` in errors; `isDevice` if it is a block device. Throws SOURCE_READ, and SOURCE_TRUNCATED if the file has
 * become shorter. Calls `count` with the number of bytes read; bytes that were peeked at count only when they are read.
 */
export function fileCursor(file: FileHandle, length: number, name: string, count: (bytes: number) => void, isDevice = false): Cursor {
  let position = 0;
  /** The number of the latest reader: of several `chunks`, only the latest moves the cursor. */
  let reader = 0;
  const read = (into: readonly Uint8Array[], at: number): Promise<void> => readFully(file, name, into, at);
  const window = createWindow(read, length);

  function advance(bytes: number): number {
    const at = position;
    if (at + bytes > length) throw truncated(length);
    position += bytes;
    return at;
  }

  async function fill(...into: Uint8Array[]): Promise<void> {
    const wanted = totalLength(into);
    const at = advance(wanted);
    await read(into, at);
    count(wanted);
  }

  return {
    seekable: true,
    length,
    isDevice,
    fill,
    get position() {
      return position;
    },
    peek: (wanted) => window.peek(position, Math.min(wanted, length - position)),
    async read(wanted) {
      const peeked = window.find(position, wanted);
      const bytes = peeked === undefined ? new Uint8Array(wanted) : Uint8Array.from(peeked);
      if (peeked === undefined) await fill(bytes);
      else {
        advance(wanted);
        count(wanted);
      }
      return bytes;
    },
    async moveTo(target) {
      if (target > length) throw truncated(length);
      reader++;
      position = target;
    },
    async nextData(from) {
      if (isDevice || from >= length) return from;
      return Math.min(length, await nextData(file, name, from));
    },
    async *chunks() {
      const self = ++reader;
      let ahead = position;
      const parts = readAhead(twoBuffers(CHUNK), async (buffer) => {
        const chunk = buffer.subarray(0, length - ahead);
        if (chunk.length === 0) return undefined;
        const at = ahead;
        ahead += chunk.length;
        await read([chunk], at);
        return chunk;
      });
      for await (const chunk of parts) {
        // An abandoned reader may still have a read in flight long after the cursor has moved.
        if (reader === self) position += chunk.length;
        count(chunk.length);
        yield chunk;
      }
    },
  };
}

/** What was peeked at last, and after it what was read with it. */
interface PeekWindow {
  /** The bytes from `at` on. */
  peek(at: number, count: number): Promise<Uint8Array>;
  /** The same, if they have been read. */
  find(at: number, count: number): Uint8Array | undefined;
}

/** A peek soon after the last one reads on: the headers of an archive of many small files are not read one by one. */
function createWindow(read: (into: readonly Uint8Array[], at: number) => Promise<void>, length: number): PeekWindow {
  let start = 0;
  let held: Uint8Array = new Uint8Array(0);
  let end = 0;
  // Used in turn, so that an archive of many files leaves no garbage. What was peeked at stays valid while the next window is read.
  const [first, second] = twoBuffers(WINDOW);
  let idle = [first, second];

  const find = (at: number, count: number): Uint8Array | undefined =>
    at >= start && at + count <= start + held.length ? held.subarray(at - start, at - start + count) : undefined;

  return {
    find,
    async peek(at, count) {
      const isNear = at >= end && at < end + WINDOW;
      end = at + count;
      const found = find(at, count);
      if (found !== undefined) return found;
      const buffer = isNear && count <= WINDOW ? idle.shift() : undefined;
      const bytes = buffer?.subarray(0, length - at) ?? new Uint8Array(count);
      await read([bytes], at);
      if (buffer !== undefined) idle = [...idle, buffer];
      start = at;
      held = bytes;
      return bytes.subarray(0, count);
    },
  };
}

/** The next byte that a hole does not cover. */
const nextData = (file: FileHandle, name: string, from: number): Promise<number> =>
  guarded('SOURCE_READ', name, native().seekData(file.fd, from));

/** Fills the buffers of `into` in order, from byte `at` on. Throws SOURCE_READ, and SOURCE_TRUNCATED if the file has become shorter. */
export async function readFully(file: FileHandle, name: string, into: readonly Uint8Array[], at: number): Promise<void> {
  let unfilled = into.filter((bytes) => bytes.length > 0);
  const wanted = totalLength(unfilled);
  for (let filled = 0; filled < wanted; ) {
    let bytesRead: number;
    try {
      ({ bytesRead } = await file.readv(unfilled, at + filled));
    } catch (cause) {
      throw readError(cause, name, at + filled);
    }
    if (bytesRead === 0) throw truncated(at + filled);
    filled += bytesRead;
    if (filled < wanted) unfilled = skipBytes(unfilled, bytesRead);
  }
}

/** `parts` without their first `count` bytes. */
function skipBytes(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  return parts.flatMap((part) => {
    const filled = Math.min(skip, part.length);
    skip -= filled;
    return filled === part.length ? [] : [part.subarray(filled)];
  });
}

/** The typed error for a failed read. */
export function readError(cause: unknown, name: string, offset?: number): VdiStreamError {
  if (cause instanceof VdiStreamError) return cause;
  const reason = messageOf(cause);
  return new VdiStreamError('SOURCE_READ', `cannot read ${name}: ${reason}`, { offset, errno: errnoOf(cause), cause });
}
