/** From bytes that follow one another in the file to data extents, a buffer each. */

import type { Cursor } from '../cursor.ts';
import type { Buffers, DataExtent, Lease } from './extent.ts';

/**
 * Data extents for [offset, offset + length) of the disk, from where the cursor stands, a buffer each. `lead` is filled with
 * the bytes in front of them, in the same read; `prepare` is called with the bytes of each before they are ready.
 */
export async function* pieces(
  cursor: Cursor,
  offset: number,
  length: number,
  buffers: Buffers,
  signal: AbortSignal | undefined,
  lead: Uint8Array = new Uint8Array(0),
  prepare: (bytes: Uint8Array, from: number) => void = () => {},
): AsyncGenerator<DataExtent> {
  const { size } = buffers;
  let led: Promise<void> | undefined;
  for (let from = 0; from < length; from += size) {
    const lease = await buffers.acquire(signal);
    const bytes = lease.bytes.subarray(0, Math.min(size, length - from));
    // Its own read first: the buffer must not be given back while that goes on, though the lead has failed.
    const filled = led === undefined ? cursor.fill(lead, bytes) : cursor.fill(bytes).then(() => led);
    const ready = filled.then(() => prepare(bytes, from));
    led ??= ready;
    await settleStream(cursor, ready, lease);
    yield { kind: 'data', offset: offset + from, length: bytes.length, bytes, ready, release: () => lease.release() };
  }
}

/**
 * A stream has one position, so its next move has to wait for `ready`. A file is read at many places at once. The lease is
 * given back where the read fails before anybody else has it.
 */
export async function settleStream(cursor: Cursor, ready: Promise<void>, lease: Lease): Promise<void> {
  if (cursor.seekable) return;
  try {
    await ready;
  } catch (error) {
    lease.release();
    throw error;
  }
}
