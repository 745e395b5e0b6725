/** Tail: what a stream that was read as something else ends in. */

import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { isExactlyFixed } from '../vhd/exact.ts';
import { FOOTER_SIZE } from '../vhd/footer.ts';

/**
 * What `read` makes of `source`. If that fails since the source only begins like `what`, reads the rest, to see whether it is a fixed VHD.
 * Throws FORMAT_END then, otherwise what `read` throws.
 */
export async function* readAs(what: string, source: Chunks, read: (source: Chunks) => Chunks): Chunks {
  const all = unlessFixed(source, what)[Symbol.asyncIterator]();
  let isEmpty = true;
  try {
    for await (const chunk of read({ [Symbol.asyncIterator]: () => ({ next: () => all.next() }) })) {
      isEmpty = false;
      yield chunk;
    }
  } catch (error) {
    if (error instanceof VdiStreamError && (error.code === 'COMPRESSION_TRAILING' || (isEmpty && error.code === 'COMPRESSION_DATA'))) {
      await drained(all);
    }
    throw error;
  } finally {
    // A stalled source would never return. It is closed by its opener.
    all.return?.().catch(() => {});
  }
}

/** Throws only FORMAT_END. */
async function drained(chunks: AsyncIterator<Uint8Array>): Promise<void> {
  try {
    while (!(await chunks.next()).done);
  } catch (error) {
    if (error instanceof VdiStreamError && error.code === 'FORMAT_END') throw error;
  }
}

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
