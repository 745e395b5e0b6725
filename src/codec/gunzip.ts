/**
 * Gzip to bytes, on a thread of its own: while one megabyte is used here, the next is being inflated. Several members in
 * a row are one stream, as gzip, pigz and bgzip have it; zero padding may follow the last, nothing else.
 */

import { GiB, isZero, MiB } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { type Inflater, native } from '../host/native.ts';
import { readAhead } from '../host/read-ahead.ts';

/** Large enough that the hop between threads costs nothing, small enough to stay in the cache. */
const WINDOW = MiB;

/**
 * The bytes of all members of `source`. A chunk is valid until the next one is asked for. Throws COMPRESSION_DATA, COMPRESSION_CHECKSUM,
 * COMPRESSION_TRUNCATED or COMPRESSION_TRAILING, with the byte of `source` as the offset, and what `source` throws.
 */
export async function* gunzip(source: Chunks): Chunks {
  const inflater = new (native().Inflater)();
  const input = compressedInput(source);
  const members = inflateMembers(input, inflater);
  try {
    yield* readAhead(WINDOW, members.read);
  } finally {
    await members.settled();
    await input.close();
  }
}

interface CompressedInput {
  /** The bytes at hand. */
  readonly bytes: Uint8Array;
  /** Of `bytes` in the compressed bytes. */
  readonly offset: number;
  /** Gets more bytes if there are none at hand; false at the end of the source. */
  refill(): Promise<boolean>;
  /** Moves on by `count` of the bytes at hand. */
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
      // A source that has stalled never gets to its end; it is closed where it was opened.
      if (!waiting) await ended;
    },
  };
}

interface Members {
  /** Inflates into `window` until something comes out; undefined at the end of the last member. */
  read(window: Uint8Array): Promise<Uint8Array | undefined>;
  /** Resolves when the call of zlib under way has ended: until then it reads a chunk of the source and writes into a window. */
  settled(): Promise<void>;
}

function inflateMembers(input: CompressedInput, inflater: Inflater): Members {
  let inMember = true;
  let start = 0; // of the member, in the compressed bytes
  let empty = true; // nothing of this member has come out yet
  let inflating: Promise<unknown> = Promise.resolve();

  /** After a member: another one, or false at the end. */
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

  /** One call of zlib: what has come out, which may be nothing. */
  async function inflate(window: Uint8Array): Promise<Uint8Array> {
    const running = inflater.run(input.bytes.subarray(0, GiB), window); // zlib counts in 32 bits
    inflating = running;
    const { consumed, produced, ended, message } = await running;
    if (message !== undefined) {
      // What is not even a header after a member is no member.
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
          throw new VdiStreamError('COMPRESSION_TRUNCATED', 'the gzip stream ends before its end mark', { offset: input.offset });
        }
        const inflated = await inflate(window);
        if (inflated.length > 0) return inflated;
      }
    },
    // A tick later than the call itself: a read that needs more of the source is waiting for it by then.
    async settled() {
      await inflating;
    },
  };
}

/** The first byte of each member (RFC 1952, 2.3.1). */
const ID1 = 0x1f;

/** Zeros to the end of the source. Throws COMPRESSION_TRAILING. */
async function skipPadding(input: CompressedInput): Promise<void> {
  while (await input.refill()) {
    const { bytes, offset } = input;
    if (!isZero(bytes)) throw trailing(offset + bytes.findIndex((byte) => byte !== 0));
    input.skip(bytes.length);
  }
}

const trailing = (offset: number): VdiStreamError =>
  new VdiStreamError('COMPRESSION_TRAILING', 'other data follows the gzip stream', { offset });

/** zlib's own words for a wrong checksum and a wrong length: "incorrect data check", "incorrect length check". */
const damaged = (message: string, offset: number): VdiStreamError => {
  const code = /^incorrect (?:data|length) check/.test(message) ? 'COMPRESSION_CHECKSUM' : 'COMPRESSION_DATA';
  return new VdiStreamError(code, `the gzip stream is damaged: ${message}`, { offset });
};
