/** The compressed bytes of a source, which arrive in chunks and are used up in any portions. */

import type { Chunks } from '../cursor.ts';

export interface CompressedInput {
  /** The available bytes. They are valid until the next `refill`. */
  readonly bytes: Uint8Array;
  /** Offset of `bytes` in the source. */
  readonly offset: number;
  /** Fetches more bytes if none are available; false at the end of the source. */
  refill(): Promise<boolean>;
  /** Drops the first `count` of the available bytes. */
  skip(count: number): void;
  /** Uses up bytes until `into` is full, or the source ends or fails, which the next `refill` says; the number of bytes copied. */
  copy(into: Uint8Array): Promise<number>;
  /** Returns bytes that were used up last, to be read again. They must not change until they have been. */
  restore(bytes: Uint8Array): void;
  close(): Promise<void>;
}

export function compressedInput(source: Chunks): CompressedInput {
  const iterator = source[Symbol.asyncIterator]();
  let bytes: Uint8Array = new Uint8Array(0);
  const restored: Uint8Array[] = []; // to be read after `bytes`, the last one first
  let offset = 0;
  let waiting = false; // for the source
  let failure: { readonly error: unknown } | undefined; // of the source, thrown once all bytes before it are used up

  async function refill(): Promise<boolean> {
    while (bytes.length === 0) {
      const next = restored.pop() ?? (await fetch());
      if (next === undefined) return false;
      bytes = next;
    }
    return true;
  }

  async function fetch(): Promise<Uint8Array | undefined> {
    if (failure !== undefined) throw failure.error;
    waiting = true;
    try {
      const next = await iterator.next();
      return next.done ? undefined : next.value;
    } catch (error) {
      failure = { error };
      throw error;
    } finally {
      waiting = false;
    }
  }

  /** Like `refill`, but false for an error. */
  const hasMore = (): Promise<boolean> => refill().catch(() => false);

  function skip(count: number): void {
    bytes = bytes.subarray(count);
    offset += count;
  }

  return {
    get bytes() {
      return bytes;
    },
    get offset() {
      return offset;
    },
    refill,
    skip,
    async copy(into) {
      let filled = 0;
      while (filled < into.length && (bytes.length > 0 || (await hasMore()))) {
        const part = bytes.subarray(0, into.length - filled);
        into.set(part, filled);
        filled += part.length;
        skip(part.length);
      }
      return filled;
    },
    restore(again) {
      restored.push(bytes);
      bytes = again;
      offset -= again.length;
    },
    async close() {
      const ended = Promise.resolve(iterator.return?.()).catch(() => {});
      // A stalled source would never return. It is closed by its opener.
      if (!waiting) await ended;
    },
  };
}
