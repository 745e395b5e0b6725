/** Bytes as sources yield them: in chunks of any size, from memory that the source reuses. */

import fc from 'fast-check';
import type { Chunks } from '../../src/cursor.ts';

/** Sizes of chunks, cycled through until the bytes are used up. Odd ones, tiny ones, and empty chunks too. */
export const chunkSizes: fc.Arbitrary<number[]> = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 2000 }), fc.constantFrom(511, 512, 513, 4096, 65536)), {
    minLength: 1,
    maxLength: 12,
  })
  .map((sizes) => (sizes.some((size) => size >= 40) ? sizes : [...sizes, 700]));

/** `bytes` cut at `sizes`, which repeat. */
export function* cut(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  let at = 0;
  for (let index = 0; at < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? bytes.length;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

/**
 * The same as a stream whose every chunk lies in one piece of memory, overwritten with rubbish as soon as the next chunk is
 * asked for: a chunk is valid no longer, and a reader that keeps a view of one is found out.
 */
export async function* reusing(bytes: Uint8Array, sizes: readonly number[] = [bytes.length]): Chunks {
  const memory = new Uint8Array(Math.max(...sizes, 1));
  for (const part of cut(bytes, sizes)) {
    memory.set(part);
    yield memory.subarray(0, part.length);
    memory.fill(0xc5);
  }
}

/** A stream of what a synchronous iterable holds: for inputs too large to exist. */
export async function* streamOf(parts: Iterable<Uint8Array>): Chunks {
  yield* parts;
}

export async function collect(source: Chunks): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of source) parts.push(Uint8Array.from(chunk));
  return Buffer.concat(parts);
}

/** `length` bytes that do not compress and hold no runs, determined by the seed (xorshift32). */
export function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  for (let at = 0; at < length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state;
  }
  return bytes;
}
