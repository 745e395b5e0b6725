/** Read-ahead: reads the next chunk while the current one is being used. */

import type { Chunks } from '../cursor.ts';

/** Two buffers of `size` bytes. */
export const twoBuffers = (size: number): TwoBuffers => [new Uint8Array(size), new Uint8Array(size)];

type TwoBuffers = readonly [Uint8Array, Uint8Array];

/**
 * The chunks that `read` produces, alternating between two buffers, so a chunk is valid until the next one is requested. `read` resolves
 * with the part of the buffer that it filled, or with undefined at the end. Its last call may still be running after the generator has
 * returned.
 */
export async function* readAhead(buffers: TwoBuffers, read: (buffer: Uint8Array) => Promise<Uint8Array | undefined>): Chunks {
  let [spare, current] = buffers;
  const begin = (): Promise<Uint8Array | undefined> => {
    [current, spare] = [spare, current];
    const reading = read(current);
    reading.catch(() => {}); // thrown below, where the chunk is awaited
    return reading;
  };
  let next = begin();
  for (;;) {
    const chunk = await next;
    if (chunk === undefined) return;
    next = begin();
    yield chunk;
  }
}
