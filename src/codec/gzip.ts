/** Gzip on all cores: independent members of the same input size, in order, each of which says how long it is. */

import { promisify } from 'node:util';
import { deflateRaw } from 'node:zlib';
import { KiB, MiB } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { cancellable } from '../host/cancel.ts';
import { orHostError } from '../host/errno.ts';
import { addonIfAny, CODECS, type Deflated, loadIsal } from '../host/native.ts';
import { compressedInput } from './compressed-input.ts';
import { addToCrc, FRAME_END, FRAME_START, frame } from './gzip-member.ts';
import { inOrder, slotCount } from './in-order.ts';

/** See `frame`. */
const INPUT = MiB;
/** What does not compress becomes longer: by 85 bytes in stored blocks, by less than 1 KiB in those of zlib. */
const OUTPUT = FRAME_START + INPUT + 4 * KiB + FRAME_END;

export interface GzipOptions {
  /** From 1, the fastest, to 9, the smallest; default 1. */
  readonly level?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Portion {
  readonly input: Uint8Array;
  readonly output: Buffer;
  filled: number;
}

/** The compressed length, at FRAME_START in `output`. */
type Deflate = (slot: Portion) => Promise<Deflated>;

/**
 * `source` as gzip: the same bytes for the same input and codec. A chunk is valid until the next one is requested. Throws CANCELLED, MEMORY,
 * THREADS, and what `source` throws.
 */
export async function* gzip(source: Chunks, { level = 1, signal }: GzipOptions = {}): Chunks {
  const input = compressedInput(signal === undefined ? source : cancellable(source, signal));
  const deflate = openDeflate(level);
  let isFirst = true; // an empty source makes an empty member
  const members = inOrder(slotCount(), {
    create: (): Portion => ({ input: new Uint8Array(INPUT), output: Buffer.alloc(OUTPUT), filled: 0 }),
    async fill(slot) {
      slot.filled = await input.copy(slot.input);
      if (slot.filled < slot.input.length) await input.refill(); // throws the error of the source
      const hasMember = slot.filled > 0 || isFirst;
      isFirst = false;
      return hasMember;
    },
    work: deflate,
  });
  try {
    for await (const { slot, result } of members) yield frame(slot.output, result.produced, result.crc, slot.filled);
  } finally {
    await input.close();
  }
}

const plain = ({ input, filled }: Portion): Uint8Array => input.subarray(0, filled);

function openDeflate(level: number): Deflate {
  const addon = addonIfAny();
  if (addon === undefined) return (slot) => nodeDeflate(level, slot);
  const [codec, at] = codecFor(level);
  return (slot) => orHostError(addon.deflate(codec, at, plain(slot), slot.output.subarray(FRAME_START, -FRAME_END)));
}

/**
 * ISA-L for levels 1 to 3, at its own 2 and 3: it is several times as fast as zlib there. Its level 1 saves no time over its 2, and makes
 * members 2 % larger. From level 4 on zlib compresses better than ISA-L can.
 */
function codecFor(level: number): readonly [codec: (typeof CODECS)[keyof typeof CODECS], level: number] {
  if (level > 3 || loadIsal().from === undefined) return [CODECS.zlib, level];
  return [CODECS.isal, level === 1 ? 2 : 3];
}

const deflateWhole = promisify<Uint8Array, { level: number }, Buffer>(deflateRaw);

async function nodeDeflate(level: number, slot: Portion): Promise<Deflated> {
  const bytes = plain(slot);
  const deflated = await deflateWhole(bytes, { level });
  slot.output.set(deflated, FRAME_START);
  return { produced: deflated.length, crc: addToCrc(0, bytes) };
}
