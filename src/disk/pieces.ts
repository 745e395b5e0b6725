/** Contiguous bytes of the file as data extents, one buffer each. */

import type { Cursor } from '../cursor.ts';
import type { Range } from './disk.ts';
import type { Buffers, DataExtent, Lease } from './extent.ts';

interface PieceOptions {
  readonly signal?: AbortSignal | undefined;
  /** Filled with the bytes before the range, in the same read as the first piece. */
  readonly lead?: Uint8Array | undefined;
  /** Called with the bytes of each piece and their offset in the range, before the piece is ready. */
  readonly prepare?: ((bytes: Uint8Array, from: number) => void) | undefined;
}

/** Reads a range of the disk from the cursor on. */
export async function* pieces(
  cursor: Cursor,
  { offset, length }: Range,
  buffers: Buffers,
  { signal, lead = new Uint8Array(0), prepare = () => {} }: PieceOptions = {},
): AsyncGenerator<DataExtent> {
  const { size } = buffers;
  let leadRead: Promise<void> | undefined;
  for (let from = 0; from < length; from += size) {
    const lease = await buffers.acquire(signal);
    const bytes = lease.bytes.subarray(0, Math.min(size, length - from));
    // The piece's own read first: even if the lead failed, the buffer must not be released while it is being filled.
    const filled = leadRead === undefined ? cursor.fill(lead, bytes) : cursor.fill(bytes).then(() => leadRead);
    const ready = filled.then(() => prepare(bytes, from));
    leadRead ??= ready;
    await settleStream(cursor, ready, lease);
    yield { kind: 'data', offset: offset + from, length: bytes.length, bytes, ready, release: () => lease.release() };
  }
}

/**
 * Waits for `ready` unless the cursor is seekable: a stream has one position, while a file is read in several places concurrently.
 * Releases the lease if the read fails.
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
