/**
 * Gzip to bytes, on a thread of its own: while one megabyte is used here, the next is being inflated. Several members in
 * a row are one stream, as gzip, pigz and bgzip have it; zero padding may follow the last, nothing else.
 */

import { constants, createGunzip } from 'node:zlib';
import { isZero, MiB } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { type Inflater, native } from './native.ts';
import { through } from './through.ts';

/** Large enough that the hop between threads costs nothing, small enough to stay in the cache. */
const WINDOW = MiB;

/** Throws COMPRESSION_DATA, COMPRESSION_TRUNCATED or COMPRESSION_TRAILING, with the offset in the compressed bytes. */
export function gunzip(source: Chunks): Chunks {
  const { Inflater } = native();
  return Inflater === undefined ? gunzipWithNode(source) : gunzipOnThread(source, new Inflater());
}

export async function* gunzipOnThread(source: Chunks, inflater: Inflater): Chunks {
  const iterator = source[Symbol.asyncIterator]();
  const windows = [new Uint8Array(WINDOW), new Uint8Array(WINDOW)];
  let input: Uint8Array = new Uint8Array(0);
  let offset = 0; // of `input` in the compressed bytes
  let inMember = true;
  let atStart = true; // nothing of this member has been consumed yet
  let first = true;

  async function refill(): Promise<boolean> {
    while (input.length === 0) {
      const next = await iterator.next();
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
      atStart = true;
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
      const { consumed, produced, ended, message } = await inflater.run(input, window);
      if (message !== undefined) {
        const trailing = atStart && !first && produced === 0;
        throw trailing
          ? new VdiStreamError('COMPRESSION_TRAILING', 'other data follows the gzip stream', { offset })
          : new VdiStreamError('COMPRESSION_DATA', `the gzip stream is damaged: ${message}`, { offset: offset + consumed });
      }
      input = input.subarray(consumed);
      offset += consumed;
      if (produced > 0) atStart = false;
      if (ended) {
        inMember = false;
        first = false;
      }
      if (produced > 0) return window.subarray(0, produced);
    }
  }

  const start = (turn: number): Promise<Uint8Array | undefined> => {
    const window = windows[turn % 2];
    const working = window === undefined ? Promise.resolve(undefined) : step(window);
    working.catch(() => {}); // whoever asks for the bytes is told
    return working;
  };
  let ahead = start(0);
  try {
    for (let turn = 1; ; turn++) {
      const bytes = await ahead;
      if (bytes === undefined) return;
      ahead = start(turn);
      yield bytes;
    }
  } finally {
    await ahead.catch(() => {}); // the inflater still writes into its window
    await iterator.return?.();
  }
}

/** Where the process hides its zlib from the addon: the same rules by node:zlib, at half the speed. */
export async function* gunzipWithNode(source: Chunks): Chunks {
  try {
    yield* through(createGunzip({ chunkSize: WINDOW }), source);
  } catch (cause) {
    if (!(cause instanceof Error) || !('errno' in cause)) throw cause;
    throw cause.errno === constants.Z_BUF_ERROR
      ? new VdiStreamError('COMPRESSION_TRUNCATED', 'the gzip stream ends before its end mark', { cause })
      : new VdiStreamError('COMPRESSION_DATA', `the gzip stream is damaged: ${cause.message}`, { cause });
  }
}
