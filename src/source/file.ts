/** A cursor over a regular file: it jumps, and reads several places at once. */

import type { FileHandle } from 'node:fs/promises';
import { type Cursor, totalLength, truncated } from '../cursor.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import { errnoOf } from '../host/errno.ts';

/** One read of the file at a time is not enough to keep a disk busy; a chunk this large is. */
const CHUNK = 512 * 1024;

/** `count` is told of the bytes that were read; what was only peeked at is read again, and not counted twice. */
export function fileCursor(file: FileHandle, length: number, name: string, count: (bytes: number) => void): Cursor {
  let position = 0;
  /** Counts who moves the cursor: of several `chunks`, only the one that was asked for last. */
  let reader = 0;

  async function readAt(into: readonly Uint8Array[], at: number): Promise<void> {
    let left = into.filter((bytes) => bytes.length > 0);
    const wanted = totalLength(left);
    for (let done = 0; done < wanted; ) {
      let bytesRead: number;
      try {
        ({ bytesRead } = await file.readv(left, at + done));
      } catch (cause) {
        throw readError(cause, name, at + done);
      }
      // The file was cut while it was read.
      if (bytesRead === 0) throw truncated(at + done);
      done += bytesRead;
      if (done < wanted) left = behind(left, bytesRead);
    }
  }

  function advance(bytes: number): number {
    const at = position;
    if (at + bytes > length) throw truncated(length);
    position += bytes;
    return at;
  }

  async function fill(...into: Uint8Array[]): Promise<void> {
    const wanted = totalLength(into);
    const at = advance(wanted);
    await readAt(into, at);
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
      if (bytes.length > 0) await readAt([bytes], position);
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
      // The next chunk is read while the current one is used; two buffers take turns.
      const buffers = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)];
      const mine = ++reader;
      let at = position;
      const next = (turn: number): Promise<Uint8Array> | undefined => {
        const chunk = buffers[turn % 2]?.subarray(0, length - at);
        if (chunk === undefined || chunk.length === 0) return undefined;
        const reading = readAt([chunk], at).then(() => chunk);
        reading.catch(() => {}); // whoever asks for the chunk is told
        at += chunk.length;
        return reading;
      };
      let ahead = next(0);
      for (let turn = 1; ahead !== undefined; turn++) {
        const chunk = await ahead;
        ahead = next(turn);
        // Who was left in the middle may still be reading when the cursor has long been moved elsewhere.
        if (reader === mine) position += chunk.length;
        count(chunk.length);
        yield chunk;
      }
    },
  };
}

/** What is left to fill once `count` bytes of `parts` are. */
function behind(parts: readonly Uint8Array[], count: number): Uint8Array[] {
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
