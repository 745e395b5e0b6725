/** Inflating with the addon: a stream on a thread of its own, whole members on all cores. */

import { GiB, MiB } from '../bytes.ts';
import { hostError, orHostError } from '../host/errno.ts';
import { type CODECS, type Inflater, loadAddon } from '../host/native.ts';
import { readAhead, twoBuffers } from '../host/read-ahead.ts';
import type { Stages } from '../host/stages.ts';
import type { CompressedInput } from './compressed-input.ts';
import { damagedAt, need } from './gzip-member.ts';
import type { InflateCodec, Packed } from './inflate-codec.ts';

/** Large enough to make the hop between threads negligible, small enough to stay in the CPU cache. */
const WINDOW = 2 * MiB;

type Codec = (typeof CODECS)[keyof typeof CODECS];

/** Throws MEMORY. */
export function nativeInflate(codec: Codec, stages: Stages): InflateCodec {
  const inflater = createInflater(codec);
  const windows = twoBuffers(WINDOW);
  const onThread = <T>(work: Promise<T>): Promise<T> => stages.during('inflate', orHostError(work));

  /** While one window is being used, the next is filled. */
  async function* stream(input: CompressedInput): AsyncGenerator<Uint8Array, number, void> {
    let running: Promise<unknown> = Promise.resolve();
    let crc: number | undefined;

    async function inflate(window: Uint8Array): Promise<Uint8Array> {
      const run = onThread(inflater.run(input.bytes.subarray(0, GiB), window)); // they count in 32 bits
      running = run;
      const { consumed, produced, ended, damaged, crc: whole } = await run;
      if (damaged) throw damagedAt(input.offset + consumed, 'invalid data');
      input.skip(consumed);
      if (ended) crc = whole;
      return window.subarray(0, produced);
    }

    async function read(window: Uint8Array): Promise<Uint8Array | undefined> {
      while (crc === undefined) {
        await need(input);
        const inflated = await inflate(window);
        if (inflated.length > 0) return inflated;
      }
      return undefined;
    }

    try {
      yield* readAhead(windows, read);
    } finally {
      // The running call reads a chunk of the source and writes into a window. Its error was thrown by `read`. It resolves a tick after the
      // call: by then, a read that needs more input is waiting for the source.
      await running.catch(() => {});
    }
    inflater.reset();
    return crc ?? 0;
  }

  return {
    stream,
    members: (input, output, members) => onThread(loadAddon().addon.inflateMembers(codec, input, output, rangesOf(members))),
  };
}

function rangesOf(members: readonly Packed[]): Uint8Array {
  const ranges = Buffer.alloc(8 * members.length);
  members.forEach(({ start, end }, index) => {
    ranges.writeUInt32LE(start, 8 * index);
    ranges.writeUInt32LE(end, 8 * index + 4);
  });
  return ranges;
}

/** Throws MEMORY. */
function createInflater(codec: Codec): Inflater {
  try {
    return new (loadAddon().addon.Inflater)(codec);
  } catch (cause) {
    throw hostError(cause) ?? cause;
  }
}
