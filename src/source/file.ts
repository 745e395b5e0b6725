/** A cursor over a regular file: it jumps, and reads several places at once. */

import type { FileHandle } from 'node:fs/promises';
import { type Cursor, totalLength, truncated } from '../cursor.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import { errnoOf } from '../host/errno.ts';
import { readAhead } from '../host/read-ahead.ts';

/** One read of the file at a time is not enough to keep a disk busy; a chunk this large is. */
const CHUNK = 512 * 1024;

/**
 * A cursor over the first `length` bytes of `file`. Errors call the file `name`: SOURCE_READ, and SOURCE_TRUNCATED where the file has become
 * shorter. `count` is called with the number of bytes that were read; what was only peeked at is read again, and not counted twice.
 */
export function fileCursor(file: FileHandle, length: number, name: string, count: (bytes: number) => void): Cursor {
  let position = 0;
  /** Counts who moves the cursor: of several `chunks`, only the one that was asked for last. */
  let reader = 0;
  const read = (into: readonly Uint8Array[], at: number): Promise<void> => readFully(file, name, into, at);

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
    fill,
    get position() {
      return position;
    },
    async peek(wanted) {
      const bytes = new Uint8Array(Math.min(wanted, length - position));
      if (bytes.length > 0) await read([bytes], position);
      return bytes;
    },
    async read(wanted) {
      const bytes = new Uint8Array(wanted);
      await fill(bytes);
      return bytes;
    },
    async moveTo(target) {
      if (target > length) throw truncated(length);
      reader++;
      position = target;
    },
    async *chunks() {
      const mine = ++reader;
      let ahead = position;
      const parts = readAhead(CHUNK, async (buffer) => {
        const chunk = buffer.subarray(0, length - ahead);
        if (chunk.length === 0) return undefined;
        const at = ahead;
        ahead += chunk.length;
        await read([chunk], at);
        return chunk;
      });
      for await (const chunk of parts) {
        // A reader that was left in the middle may still be reading long after the cursor was moved elsewhere.
        if (reader === mine) position += chunk.length;
        count(chunk.length);
        yield chunk;
      }
    },
  };
}

/** Fills all of `into`, one after the other, from byte `at` on. Throws SOURCE_READ, and SOURCE_TRUNCATED where the file was cut meanwhile. */
async function readFully(file: FileHandle, name: string, into: readonly Uint8Array[], at: number): Promise<void> {
  let unfilled = into.filter((bytes) => bytes.length > 0);
  const wanted = totalLength(unfilled);
  for (let done = 0; done < wanted; ) {
    let bytesRead: number;
    try {
      ({ bytesRead } = await file.readv(unfilled, at + done));
    } catch (cause) {
      throw readError(cause, name, at + done);
    }
    if (bytesRead === 0) throw truncated(at + done);
    done += bytesRead;
    if (done < wanted) unfilled = skipBytes(unfilled, bytesRead);
  }
}

/** `parts` but for their first `count` bytes. */
function skipBytes(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  return parts.flatMap((part) => {
    const filled = Math.min(skip, part.length);
    skip -= filled;
    return filled === part.length ? [] : [part.subarray(filled)];
  });
}

/** The typed form of what a read of the source throws. */
export function readError(cause: unknown, name: string, offset?: number): VdiStreamError {
  if (cause instanceof VdiStreamError) return cause;
  const reason = messageOf(cause);
  return new VdiStreamError('SOURCE_READ', `cannot read ${name}: ${reason}`, { offset, errno: errnoOf(cause), cause });
}
