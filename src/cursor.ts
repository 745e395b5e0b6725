/**
 * Cursor: a position in a source's bytes, and the few moves that format readers need. Pure over any
 * `AsyncIterable<Uint8Array>`; `src/source/file.ts` has the one that can also jump.
 */

import { fromStart, VdiStreamError } from './errors.ts';

/** Where bytes come from. A chunk is valid until the next one is asked for. */
export type Chunks = AsyncIterable<Uint8Array>;

export interface Cursor {
  /** Bytes from the start of this cursor's range to the next byte. */
  readonly position: number;
  /** Total bytes of the range, where that is known before its end. */
  readonly length: number | undefined;
  /** Whether `moveTo` can go back, and whether several `fill` calls may be under way at once. */
  readonly seekable: boolean;
  /** The next `count` bytes without moving; fewer only at the end. At most 64 KiB. */
  peek(count: number): Promise<Uint8Array>;
  /** Exactly `count` bytes. Throws SOURCE_TRUNCATED. */
  read(count: number): Promise<Uint8Array>;
  /** Fills each of `into` with the next bytes. A seekable cursor moves at once, so that the next call need not wait. */
  fill(...into: Uint8Array[]): Promise<void>;
  /** Goes to `position`; forward only where the cursor is not seekable. Throws SOURCE_TRUNCATED. */
  moveTo(position: number): Promise<void>;
  /** Everything from here on. */
  chunks(): Chunks;
}

export function truncated(offset: number): VdiStreamError {
  return new VdiStreamError('SOURCE_TRUNCATED', 'the data ends here, before the image is complete', { offset });
}

export interface StreamCursor extends Cursor {
  /** Ends the stream, and with it whatever feeds it. Waits for that unless the stream has stalled. */
  close(): Promise<void>;
}

/** What has come of a stream and has not been taken yet: the current chunk, and what was peeked at. */
interface Inflow {
  readonly held: Uint8Array;
  /** Makes `held` non-empty; false at the end. */
  more(): Promise<boolean>;
  /** Makes `held` as long as that; shorter only at the end. */
  gather(count: number): Promise<void>;
  /** At most `count` bytes of what is held. */
  take(count: number): Uint8Array;
  close(): Promise<void>;
}

function inflow(source: Chunks): Inflow {
  const iterator = source[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array(0);
  let waiting = false;

  async function more(): Promise<boolean> {
    while (held.length === 0) {
      waiting = true;
      const next = await iterator.next();
      waiting = false;
      if (next.done) return false;
      held = next.value;
    }
    return true;
  }

  return {
    get held() {
      return held;
    },
    more,
    async gather(count) {
      if (held.length >= count) return;
      // A chunk dies when the next one is asked for, so what has to outlive it is copied.
      const parts: Uint8Array[] = [];
      let length = 0;
      while (length < count && (await more())) {
        parts.push(Uint8Array.from(held));
        length += held.length;
        held = new Uint8Array(0);
      }
      held = Buffer.concat(parts);
    },
    take(count) {
      const taken = held.subarray(0, count);
      held = held.subarray(taken.length);
      return taken;
    },
    async close() {
      const ended = Promise.resolve(iterator.return?.()).catch(() => {}); // the work is over; its outcome is known already
      // A generator ends only after the chunk that it is asked for, and that one may never come.
      if (!waiting) await ended;
    },
  };
}

/** A cursor over a stream: forward only, nothing kept but the current chunk and what was peeked. */
export function streamCursor(source: Chunks, length?: number): StreamCursor {
  const stream = inflow(source);
  let position = 0;

  function take(count: number): Uint8Array {
    const taken = stream.take(count);
    position += taken.length;
    return taken;
  }

  async function fill(...into: Uint8Array[]): Promise<void> {
    for (const bytes of into) {
      for (let done = 0; done < bytes.length; ) {
        if (!(await stream.more())) throw truncated(position);
        const part = take(bytes.length - done);
        bytes.set(part, done);
        done += part.length;
      }
    }
  }

  return {
    seekable: false,
    length,
    fill,
    close: () => stream.close(),
    get position() {
      return position;
    },
    async peek(count) {
      await stream.gather(count);
      return stream.held.subarray(0, count);
    },
    async read(count) {
      const bytes = new Uint8Array(count);
      await fill(bytes);
      return bytes;
    },
    async moveTo(target) {
      if (target < position) {
        throw new VdiStreamError('SOURCE_ORDER', `this part is needed after byte ${position} has gone by`, { offset: target });
      }
      while (position < target) {
        if (!(await stream.more())) throw truncated(position);
        take(target - position);
      }
    },
    async *chunks() {
      while (await stream.more()) yield take(stream.held.length);
    },
  };
}

/** The part [start, start + length) of a cursor that stands at `start`, as a cursor of its own: a member of an archive. */
export function within(outer: Cursor, length: number): Cursor {
  const start = outer.position;
  const left = (): number => start + length - outer.position;

  /** Runs a move of the outer cursor; its errors count from the start of the outer range, ours from our own. */
  async function inside<T>(count: number, move: () => Promise<T>): Promise<T> {
    if (count > left()) throw truncated(length);
    try {
      return await move();
    } catch (error) {
      throw fromStart(start, error);
    }
  }

  return {
    seekable: outer.seekable,
    length,
    get position() {
      return outer.position - start;
    },
    peek: (count) => outer.peek(Math.min(count, left())),
    read: (count) => inside(count, () => outer.read(count)),
    fill: (...into) => inside(totalLength(into), () => outer.fill(...into)),
    moveTo: (position) => inside(position - (outer.position - start), () => outer.moveTo(start + position)),
    async *chunks() {
      while (left() > 0) {
        const bytes = new Uint8Array(Math.min(left(), 64 * 1024));
        await inside(bytes.length, () => outer.fill(bytes));
        yield bytes;
      }
    },
  };
}

export const totalLength = (parts: readonly Uint8Array[]): number => parts.reduce((sum, part) => sum + part.length, 0);

/** Reads and drops what is left, to whatever end the source has. */
export async function drain(cursor: Cursor): Promise<void> {
  if (cursor.seekable && cursor.length !== undefined) return cursor.moveTo(cursor.length);
  for await (const _ of cursor.chunks());
}
