/**
 * Gunzip on a separate thread: while one megabyte is being used, the next is inflated. Concatenated members are one stream, as in gzip,
 * pigz and bgzip; the last may be followed by zero padding only.
 */

import { GiB, isZero, MiB } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { hostError } from '../host/errno.ts';
import { type Inflater, native } from '../host/native.ts';
import { readAhead } from '../host/read-ahead.ts';

/** Large enough to make the hop between threads negligible, small enough to stay in the CPU cache. */
const WINDOW = MiB;

/**
 * The bytes of all members of `source`. Throws COMPRESSION_DATA, COMPRESSION_CHECKSUM, COMPRESSION_TRUNCATED or COMPRESSION_TRAILING, with
 * the offset in `source`, MEMORY, THREADS, and what `source` throws.
 */
export async function* gunzip(source: Chunks): Chunks {
  const inflater = createInflater();
  const input = compressedInput(source);
  const members = inflateMembers(input, inflater);
  try {
    yield* readAhead(WINDOW, members.read);
  } finally {
    await members.settled();
    await input.close();
  }
}

/** Throws MEMORY. */
function createInflater(): Inflater {
  try {
    return new (native().Inflater)();
  } catch (cause) {
    throw hostError(cause) ?? cause;
  }
}

/** Throws THREADS. */
const typed = <T>(work: Promise<T>): Promise<T> => work.catch((cause: unknown) => Promise.reject(hostError(cause) ?? cause));

interface CompressedInput {
  /** The available bytes. */
  readonly bytes: Uint8Array;
  /** Offset of `bytes` in the source. */
  readonly offset: number;
  /** Fetches more bytes if none are available; false at the end of the source. */
  refill(): Promise<boolean>;
  /** Drops the first `count` of the available bytes. */
  skip(count: number): void;
  close(): Promise<void>;
}

function compressedInput(source: Chunks): CompressedInput {
  const iterator = source[Symbol.asyncIterator]();
  let bytes: Uint8Array = new Uint8Array(0);
  let offset = 0;
  let waiting = false; // for the source
  return {
    get bytes() {
      return bytes;
    },
    get offset() {
      return offset;
    },
    async refill() {
      while (bytes.length === 0) {
        waiting = true;
        const next = await iterator.next();
        waiting = false;
        if (next.done) return false;
        bytes = next.value;
      }
      return true;
    },
    skip(count) {
      bytes = bytes.subarray(count);
      offset += count;
    },
    async close() {
      const ended = Promise.resolve(iterator.return?.()).catch(() => {});
      // A stalled source would never return. It is closed by its opener.
      if (!waiting) await ended;
    },
  };
}

interface Members {
  /** Inflates into `window` until there is output; undefined at the end of the last member. */
  read(window: Uint8Array): Promise<Uint8Array | undefined>;
  /** Resolves when the running zlib call has ended: it reads a chunk of the source and writes into a window. */
  settled(): Promise<void>;
}

function inflateMembers(input: CompressedInput, inflater: Inflater): Members {
  let inMember = true;
  let start = 0; // offset of the member in the source
  let empty = true; // this member has produced no output yet
  let inflating: Promise<unknown> = Promise.resolve();

  /** Starts the member after the current one; false at the end. */
  async function nextMember(): Promise<boolean> {
    if (!(await input.refill())) return false;
    if (input.bytes[0] !== ID1) {
      await skipPadding(input);
      return false;
    }
    inflater.reset();
    start = input.offset;
    empty = true;
    return true;
  }

  /** Calls zlib once and returns its output, possibly empty. */
  async function inflate(window: Uint8Array): Promise<Uint8Array> {
    const running = typed(inflater.run(input.bytes.subarray(0, GiB), window)); // zlib counts in 32 bits
    inflating = running;
    const { consumed, produced, ended, message } = await running;
    if (message !== undefined) {
      // After the first member, bytes that are not a gzip header are trailing data.
      const isTrailing = start > 0 && empty && produced === 0 && /header|method/.test(message);
      throw isTrailing ? trailing(start) : damaged(message, input.offset + consumed);
    }
    input.skip(consumed);
    if (produced > 0) empty = false;
    if (ended) inMember = false;
    return window.subarray(0, produced);
  }

  return {
    async read(window) {
      for (;;) {
        if (!inMember && !(await nextMember())) return undefined;
        inMember = true;
        if (!(await input.refill())) {
          throw new VdiStreamError('COMPRESSION_TRUNCATED', 'the gzip stream is truncated', { offset: input.offset });
        }
        const inflated = await inflate(window);
        if (inflated.length > 0) return inflated;
      }
    },
    // Resolves a tick after the call: by then, a read that needs more input is waiting for the source.
    async settled() {
      await inflating.catch(() => {}); // its error was thrown by `read`
    },
  };
}

/** The first byte of a gzip member (RFC 1952, 2.3.1). */
const ID1 = 0x1f;

/** Skips zeros to the end of the source. Throws COMPRESSION_TRAILING. */
async function skipPadding(input: CompressedInput): Promise<void> {
  while (await input.refill()) {
    const { bytes, offset } = input;
    if (!isZero(bytes)) throw trailing(offset + bytes.findIndex((byte) => byte !== 0));
    input.skip(bytes.length);
  }
}

const trailing = (offset: number): VdiStreamError =>
  new VdiStreamError('COMPRESSION_TRAILING', 'other data follows the gzip stream', { offset });

/** zlib says "incorrect data check" for a wrong CRC and "incorrect length check" for a wrong length. */
const damaged = (message: string, offset: number): VdiStreamError => {
  const code = /^incorrect (?:data|length) check/.test(message) ? 'COMPRESSION_CHECKSUM' : 'COMPRESSION_DATA';
  return new VdiStreamError(code, `the gzip stream is damaged: ${message}`, { offset });
};
