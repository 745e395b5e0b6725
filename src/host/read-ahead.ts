/** Read-ahead: the next chunk is on its way while the current one is used. */

import type { Chunks } from '../cursor.ts';

/**
 * What `read` puts into one buffer after the other, two of `size` bytes that alternate, so that a chunk is valid until the next one is asked
 * for. `read` resolves with the part of its buffer that it has filled, or with undefined at the end. Its last call may still be under way
 * after the generator has returned.
 */
export async function* readAhead(size: number, read: (buffer: Uint8Array) => Promise<Uint8Array | undefined>): Chunks {
  let spare = new Uint8Array(size);
  let current = new Uint8Array(size);
  const begin = (): Promise<Uint8Array | undefined> => {
    [current, spare] = [spare, current];
    const reading = read(current);
    reading.catch(() => {}); // it is thrown where the chunk is awaited
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
