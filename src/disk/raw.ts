/** A raw disk: the bytes of the disk and nothing else. All that is known of it is its length. */

import { roundUp, SECTOR } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import type { Disk } from './disk.ts';
import type { Buffers, Extent } from './extent.ts';
import { flatDisk } from './flat.ts';
import { pieces } from './pieces.ts';

/**
 * `size` is the length in bytes where the cursor does not know it. A last sector that is cut is filled up with zeros.
 * Throws DISK_SIZE_UNKNOWN, or SOURCE_TRUNCATED while reading.
 */
export function rawDisk(cursor: Cursor, size: number | undefined, warn: OnWarning): Disk {
  const known = cursor.length ?? size;
  if (known === undefined) {
    throw new VdiStreamError('DISK_SIZE_UNKNOWN', 'this raw disk comes as a stream, which does not say how long it is', { offset: 0 });
  }
  const length = known;
  if (length === 0) throw new VdiStreamError('DISK_EMPTY', 'this raw disk has no bytes', { offset: 0 });
  const whole = length - (length % SECTOR);
  const virtualSize = roundUp(length, SECTOR);
  if (whole < virtualSize) {
    warn({ code: 'RAW_PADDED', message: `the last ${length - whole} bytes are no whole sector`, offset: whole });
  }

  async function finish(): Promise<undefined> {
    await cursor.moveTo(length);
    if (cursor.length === undefined && (await cursor.peek(1)).length > 0) {
      throw new VdiStreamError('RAW_SIZE', `the disk goes on behind the ${length} bytes that were said to be all`, { offset: length });
    }
  }

  async function* body(buffers: Buffers, signal: AbortSignal | undefined): AsyncGenerator<Extent> {
    yield* pieces(cursor, { offset: 0, length: whole }, buffers, { signal });
    if (whole === virtualSize) return;
    const lease = await buffers.acquire(signal);
    const bytes = lease.bytes.subarray(0, SECTOR).fill(0);
    try {
      await cursor.fill(bytes.subarray(0, length - whole));
    } catch (error) {
      lease.release();
      throw error;
    }
    yield { kind: 'data', offset: whole, length: SECTOR, bytes, ready: Promise.resolve(), release: () => lease.release() };
  }

  return flatDisk(cursor, { type: 'raw', virtualSize, identity: undefined, body, finish });
}
