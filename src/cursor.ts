/**
 * Cursor: a position in the bytes of a source, and the few operations that format readers need. The cursors here read any
 * `AsyncIterable<Uint8Array>`; `src/source/file.ts` has a seekable one.
 */

import { checkArguments } from './block-arguments.ts';
import { isStream } from './checks.ts';
import { fromStart, VdiStreamError } from './errors.ts';

/** A chunk is valid until the next one is requested. */
export type Chunks = AsyncIterable<Uint8Array>;

export interface Cursor {
  /** Offset of the next byte in this cursor's range. */
  readonly position: number;
  /** Bytes of the range, if known in advance. */
  readonly length: number | undefined;
  /** Whether `moveTo` can go back, and whether several `fill` calls may run concurrently. */
  readonly seekable: boolean;
  /** The next `count` bytes without moving; fewer only at the end. At most 64 KiB. Valid until the next peek or read. */
  peek(count: number): Promise<Uint8Array>;
  /** Exactly `count` bytes. Throws SOURCE_TRUNCATED. */
  read(count: number): Promise<Uint8Array>;
  /** Fills each of `into` with the next bytes. A seekable cursor moves before they are read, so the next call need not wait. */
  fill(...into: Uint8Array[]): Promise<void>;
  /** Moves to `position`; only forward unless the cursor is seekable. Throws SOURCE_TRUNCATED, SOURCE_ORDER. */
  moveTo(position: number): Promise<void>;
  /** Everything from here on. */
  chunks(): Chunks;
  /** The next byte from `position` on that a hole of the file does not cover; the end if there is none. Without it, there may be holes. */
  nextData?(position: number): Promise<number>;
  /** Whether the bytes are those of a block device, which keeps what was written to it before. */
  readonly isDevice?: boolean;
}

export function truncated(offset: number): VdiStreamError {
  return new VdiStreamError('SOURCE_TRUNCATED', 'the data ends here, before the image is complete', { offset });
}

export interface StreamCursor extends Cursor {
  /** Ends the stream and everything that feeds it. Waits for that, unless the stream has stalled. */
  close(): Promise<void>;
}

/** The bytes of a stream that have arrived but have not been taken: the current chunk and peeked bytes. */
interface Inflow {
  readonly held: Uint8Array;
  /** Makes `held` non-empty; false at the end. */
  more(): Promise<boolean>;
  /** Extends `held` to `count` bytes; fewer only at the end. */
  gather(count: number): Promise<void>;
  /** Up to `count` of the held bytes. */
  take(count: number): Uint8Array;
  close(): Promise<void>;
}

/** A stream that never yields a byte and never ends would otherwise keep the process busy for ever. */
const MAX_EMPTY = 10_000;

/** The stream is the caller's, so its chunks are checked; memory that the addon refuses is copied. Throws USAGE. */
export function checkChunk(chunk: unknown): Uint8Array {
  if (!(chunk instanceof Uint8Array)) {
    const found = typeof chunk === 'string' ? 'text: do not set an encoding' : typeof chunk;
    throw new VdiStreamError('USAGE', `a chunk of the stream is not a Uint8Array, but ${found}`);
  }
  const { buffer } = chunk;
  const isPlain = buffer instanceof ArrayBuffer && Reflect.get(buffer, 'resizable') !== true;
  return isPlain ? chunk : Uint8Array.from(chunk);
}

export async function* checkedChunks(source: Chunks): Chunks {
  if (!isStream(source)) throw new VdiStreamError('USAGE', 'the bytes must come from an async iterable of Uint8Arrays');
  for await (const chunk of source) yield checkChunk(chunk);
}

function inflow(source: Chunks): Inflow {
  const iterator = source[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array(0);
  let waiting = false;

  async function more(): Promise<boolean> {
    for (let empty = 0; held.length === 0; empty++) {
      if (empty === MAX_EMPTY) throw new VdiStreamError('SOURCE_READ', `the stream yields no bytes: ${MAX_EMPTY} empty chunks in a row`);
      waiting = true;
      const next = await iterator.next();
      waiting = false;
      if (next.done) return false;
      held = checkChunk(next.value);
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
      // Copied: a chunk is not valid once the next one is requested.
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
      const ended = Promise.resolve(iterator.return?.()).catch(() => {}); // the outcome of the work is already decided
      // A generator cannot return while a requested chunk is outstanding, and that chunk may never arrive.
      if (!waiting) await ended;
    },
  };
}

/** A cursor over a stream: forward only, keeping nothing but the current chunk and peeked bytes. Throws USAGE. */
export function streamCursor(source: Chunks, length?: number): StreamCursor {
  checkArguments('streamCursor', source, length);
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
        throw new VdiStreamError('SOURCE_ORDER', `a stream cannot go back from byte ${position} to byte ${target}`, { offset: target });
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

/** A cursor over the next `length` bytes of `outer`, such as a member of an archive. */
export function within(outer: Cursor, length: number): Cursor {
  const start = outer.position;
  const left = (): number => start + length - outer.position;

  /** Runs a move of the outer cursor, and makes the offsets of its errors relative to this range. */
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
    ...(outer.isDevice !== undefined && { isDevice: outer.isDevice }),
    ...(outer.nextData && {
      nextData: async (position) => Math.min(length, ((await outer.nextData?.(start + position)) ?? start) - start),
    }),
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

/** Reads and discards the rest. */
export async function drain(cursor: Cursor): Promise<void> {
  checkArguments('drain', cursor);
  if (cursor.seekable && cursor.length !== undefined) return cursor.moveTo(cursor.length);
  for await (const _ of cursor.chunks());
}
