/** A raw disk: the bytes of the disk, without metadata. */

import { checkArguments } from '../block-arguments.ts';
import { roundUp, SECTOR } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import type { Disk, DiskEnd } from './disk.ts';
import type { Buffers, Extent } from './extent.ts';
import { flatDisk } from './flat.ts';
import { pieces } from './pieces.ts';

/**
 * `size` is the length in bytes, used if the cursor has none. A partial last sector is padded with zeros.
 * Throws USAGE, DISK_EMPTY or DISK_SIZE_UNKNOWN; while reading, RAW_SIZE or SOURCE_TRUNCATED.
 */
export function rawDisk(cursor: Cursor, size: number | undefined, warn: OnWarning): Disk {
  checkArguments('rawDisk', cursor, size, warn);
  const length = lengthOf(cursor, size);
  const whole = length - (length % SECTOR);
  const virtualSize = roundUp(length, SECTOR);
  if (whole < virtualSize) {
    warn({ code: 'RAW_PADDED', message: `the last sector has only ${length - whole} bytes; it is padded with zeros`, offset: whole });
  }

  async function finish(): Promise<DiskEnd> {
    await cursor.moveTo(length);
    if (cursor.length === undefined && (await cursor.peek(1)).length > 0) {
      throw new VdiStreamError('RAW_SIZE', `the raw disk is longer than the given size, ${length} bytes`, { offset: length });
    }
    return { identity: undefined, virtualSize };
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

function lengthOf(cursor: Cursor, size: number | undefined): number {
  const length = cursor.length ?? size;
  if (length === undefined) {
    throw new VdiStreamError('DISK_SIZE_UNKNOWN', 'the raw disk is a stream, so its size is unknown', { offset: 0 });
  }
  if (length === 0) throw new VdiStreamError('DISK_EMPTY', 'the raw disk is empty', { offset: 0 });
  return length;
}
