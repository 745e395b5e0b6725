/**
 * Inflating with zlib-sync, if that is installed. It is synchronous, so it runs between the other work of the process, and it does not say
 * how much of its input it has used up: where a stream ends is found by passing the last bytes of the source one by one. So the end has to
 * be there: it reads a single member, and little padding.
 */

import { KiB } from '../bytes.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import type { CompressedInput } from './compressed-input.ts';
import { addToCrc, damagedAt, need } from './gzip-member.ts';
import type { InflateCodec } from './inflate-codec.ts';

/** What is passed at a time. Its output, at most 1032 times as long, is in memory at once. */
const PORTION = 16 * KiB;
/** The last bytes of the source, which are passed one by one: with the trailer and padding. */
const TAIL = 64 * KiB;

interface Engine {
  push(bytes: Buffer, flush: number): void;
  readonly result: Buffer | string | null;
  readonly err: number;
}

const STREAM_END = 1;
const SYNC_FLUSH = 2;
const BUFFER_ERROR = -5; // no input, or no room for output

/** Throws COMPRESSION_TOOL. */
export async function openZlibSync(): Promise<InflateCodec> {
  try {
    const { default: zlibSync } = await import('zlib-sync');
    return { stream: (input) => inflate(input, new zlibSync.Inflate({ chunkSize: 64 * KiB, windowBits: -15 })), isSingle: true };
  } catch (cause) {
    throw new VdiStreamError('COMPRESSION_TOOL', `zlib-sync cannot be loaded: ${messageOf(cause)}`, { cause });
  }
}

async function* inflate(input: CompressedInput, engine: Engine): AsyncGenerator<Uint8Array, number, void> {
  let crc = 0;
  const push = (bytes: Uint8Array): Uint8Array => {
    engine.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), SYNC_FLUSH);
    if (engine.err < 0 && engine.err !== BUFFER_ERROR) throw damagedAt(input.offset, 'invalid data');
    const output = engine.result instanceof Uint8Array ? engine.result : new Uint8Array(0);
    crc = addToCrc(crc, output);
    return output;
  };
  for (;;) {
    const held = Buffer.alloc(TAIL + PORTION);
    const count = await input.copy(held);
    input.restore(held.subarray(0, count));
    if (count < held.length) break;
    const output = push(held.subarray(0, PORTION));
    input.skip(PORTION);
    if (engine.err === STREAM_END) throw severalMembers(input.offset);
    if (output.length > 0) yield output;
    await new Promise(setImmediate);
  }
  while (engine.err !== STREAM_END) {
    await need(input);
    const output = push(input.bytes.subarray(0, 1));
    input.skip(1);
    if (output.length > 0) yield Uint8Array.from(output);
  }
  return crc;
}

export const severalMembers = (offset: number): VdiStreamError =>
  new VdiStreamError('COMPRESSION_TOOL', 'zlib-sync reads a single gzip member, with less than 64 KiB after it', { offset });
