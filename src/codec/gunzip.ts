/**
 * Gzip to bytes, on a thread of its own: while one megabyte is used here, the next is being inflated. Several members in
 * a row are one stream, as gzip, pigz and bgzip have it; zero padding may follow the last, nothing else.
 */

import { GiB, isZero, MiB } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { native } from '../host/native.ts';

/** Large enough that the hop between threads costs nothing, small enough to stay in the cache. */
const WINDOW = MiB;

/** Throws COMPRESSION_DATA, COMPRESSION_CHECKSUM, COMPRESSION_TRUNCATED or COMPRESSION_TRAILING, with the offset in the compressed bytes. */
export async function* gunzip(source: Chunks): Chunks {
  const inflater = new (native().Inflater)();
  const iterator = source[Symbol.asyncIterator]();
  const windows = [new Uint8Array(WINDOW), new Uint8Array(WINDOW)];
  let input: Uint8Array = new Uint8Array(0);
  let offset = 0; // of `input` in the compressed bytes
  let inMember = true;
  let start = 0; // of the member, in the compressed bytes
  let empty = true; // nothing of this member has come out yet
  let inflating: Promise<unknown> = Promise.resolve();
  let waiting = false; // for the source

  async function refill(): Promise<boolean> {
    while (input.length === 0) {
      waiting = true;
      const next = await iterator.next();
      waiting = false;
      if (next.done) return false;
      input = next.value;
    }
    return true;
  }

  /** Behind a member: another one, zero padding to the end, or an error. */
  async function nextMember(): Promise<boolean> {
    if (!(await refill())) return false;
    if (input[0] === 0x1f) {
      inflater.reset();
      start = offset;
      empty = true;
      return true;
    }
    while (await refill()) {
      if (!isZero(input)) {
        const at = input.findIndex((byte) => byte !== 0);
        throw new VdiStreamError('COMPRESSION_TRAILING', 'other data follows the gzip stream', { offset: offset + at });
      }
      offset += input.length;
      input = new Uint8Array(0);
    }
    return false;
  }

  /** Inflates into `window` until something came out; undefined at the end of the stream. */
  async function step(window: Uint8Array): Promise<Uint8Array | undefined> {
    for (;;) {
      if (!inMember) {
        if (!(await nextMember())) return undefined;
        inMember = true;
      }
      if (!(await refill())) {
        throw new VdiStreamError('COMPRESSION_TRUNCATED', 'the gzip stream ends before its end mark', { offset });
      }
      const running = inflater.run(input.subarray(0, GiB), window); // zlib counts in 32 bits
      inflating = running;
      const { consumed, produced, ended, message } = await running;
      if (message !== undefined) {
        // What is not even a header behind a member is no member.
        throw start > 0 && empty && produced === 0 && /header|method/.test(message)
          ? new VdiStreamError('COMPRESSION_TRAILING', 'other data follows the gzip stream', { offset: start })
          : new VdiStreamError(codeOf(message), `the gzip stream is damaged: ${message}`, { offset: offset + consumed });
      }
      input = input.subarray(consumed);
      offset += consumed;
      if (produced > 0) empty = false;
      if (ended) inMember = false;
      if (produced > 0) return window.subarray(0, produced);
    }
  }

  const begin = (turn: number): Promise<Uint8Array | undefined> => {
    const window = windows[turn % 2];
    const working = window === undefined ? Promise.resolve(undefined) : step(window);
    working.catch(() => {}); // whoever asks for the bytes is told
    return working;
  };
  let ahead = begin(0);
  try {
    for (let turn = 1; ; turn++) {
      const bytes = await ahead;
      if (bytes === undefined) return;
      ahead = begin(turn);
      yield bytes;
    }
  } finally {
    await inflating; // it still reads its input and writes into its window
    const ended = Promise.resolve(iterator.return?.()).catch(() => {});
    // A source that has stalled never gets to its end; whoever opened it closes it.
    if (!waiting) await ended;
  }
}

/** By zlib's own words: "incorrect data check", "incorrect length check". */
const codeOf = (message: string): 'COMPRESSION_CHECKSUM' | 'COMPRESSION_DATA' =>
  /^incorrect (?:data|length) check/.test(message) ? 'COMPRESSION_CHECKSUM' : 'COMPRESSION_DATA';
