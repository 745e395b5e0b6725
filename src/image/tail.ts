/** Tail: what a stream that was read as something else ends in. */

import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { isExactlyFixed } from '../vhd/exact.ts';
import { FOOTER_SIZE } from '../vhd/footer.ts';

/**
 * Passes `source` on. At its end, throws FORMAT_END if all of it is a fixed VHD: then what was read, `what`, is on the disk, and is not the
 * image. A seekable source is judged by its end before it is read.
 */
export async function* unlessFixed(source: Chunks, what: string): Chunks {
  let tail: Uint8Array = new Uint8Array(0);
  let length = 0;
  for await (const chunk of source) {
    const last = chunk.subarray(-FOOTER_SIZE);
    tail = last.length === FOOTER_SIZE ? Uint8Array.from(last) : Buffer.concat([tail, last]).subarray(-FOOTER_SIZE);
    length += chunk.length;
    yield chunk;
  }
  if (isExactlyFixed(tail, length)) {
    const message = `the image begins like ${what}, but ends in the footer of a fixed VHD of exactly its length: it is that disk`;
    throw new VdiStreamError('FORMAT_END', message, { offset: length - FOOTER_SIZE });
  }
}
