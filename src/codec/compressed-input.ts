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
  /**
   * Uses up bytes until `into` is full, or the source ends or fails, which the next `refill` says; no longer waits for the source once
   * `enough` has resolved. Resolves with the number of bytes copied.
   */
  copy(into: Uint8Array, enough?: Promise<unknown>): Promise<number>;
  /** Returns bytes that were used up last, to be read again. They must not change until they have been. */
  restore(bytes: Uint8Array): void;
  close(): Promise<void>;
}

export function compressedInput(source: Chunks): CompressedInput {
  let bytes: Uint8Array = new Uint8Array(0);
  const later: Uint8Array[] = []; // after `bytes`, the last one first
  let offset = 0;
  // A chunk comes after whatever was restored while it was waited for.
  const chunks = fetcher(source, (chunk) => void later.unshift(chunk));

  async function refill(): Promise<boolean> {
    while (bytes.length === 0) {
      const next = later.pop();
      if (next !== undefined) bytes = next;
      // While it waits, bytes may be restored.
      else if (!(await chunks.fetch()) && later.length === 0 && bytes.length === 0) return false;
    }
    return true;
  }

  /** Like `refill`, but false for an error, and as soon as `enough` resolves. */
  function hasMore(enough: Promise<unknown> | undefined): Promise<boolean> {
    const more = refill().catch(() => false);
    return enough === undefined ? more : Promise.race([more, enough.then(() => false)]);
  }

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
    async copy(into, enough) {
      let filled = 0;
      while (filled < into.length && (bytes.length > 0 || (await hasMore(enough)))) {
        const part = bytes.subarray(0, into.length - filled);
        into.set(part, filled);
        filled += part.length;
        skip(part.length);
      }
      return filled;
    },
    restore(again) {
      later.push(bytes);
      bytes = again;
      offset -= again.length;
    },
    close: chunks.close,
  };
}

interface Fetcher {
  /** Waits for a chunk, also for the one that an earlier call still waits for; false at the end. An error is thrown by each call. */
  fetch(): Promise<boolean>;
  close(): Promise<void>;
}

function fetcher(source: Chunks, store: (chunk: Uint8Array) => void): Fetcher {
  const iterator = source[Symbol.asyncIterator]();
  let fetching: Promise<boolean> | undefined;
  let failure: { readonly error: unknown } | undefined;

  async function next(): Promise<boolean> {
    if (failure !== undefined) throw failure.error;
    try {
      const { done, value } = await iterator.next();
      if (!done) store(value);
      return !done;
    } catch (error) {
      failure = { error };
      throw error;
    } finally {
      fetching = undefined;
    }
  }

  return {
    fetch() {
      fetching ??= next();
      return fetching;
    },
    async close() {
      const ended = Promise.resolve(iterator.return?.()).catch(() => {});
      // A stalled source would never return. It is closed by its opener.
      if (fetching === undefined) await ended;
    },
  };
}
