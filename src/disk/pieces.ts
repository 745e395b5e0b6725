/** From bytes that follow one another in the file to data extents, a buffer each. */

import type { Cursor } from '../cursor.ts';
import type { Range } from './disk.ts';
import type { Buffers, DataExtent, Lease } from './extent.ts';

interface PieceOptions {
  readonly signal?: AbortSignal | undefined;
  /** Filled with the bytes that come before those of the disk, in the same read as the first of them. */
  readonly lead?: Uint8Array | undefined;
  /** Called with the bytes of each piece, and their place in the range, before it is ready. */
  readonly prepare?: ((bytes: Uint8Array, from: number) => void) | undefined;
}

/** Data extents for a range of the disk, from where the cursor stands, a buffer each. */
export async function* pieces(
  cursor: Cursor,
  { offset, length }: Range,
  buffers: Buffers,
  { signal, lead = new Uint8Array(0), prepare = () => {} }: PieceOptions = {},
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
