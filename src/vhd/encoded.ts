/** What every encoder has: a length, known before the first byte, and the bytes, made from the extents of a disk in order. */

import { MiB, SECTOR } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { ahead } from '../disk/ahead.ts';
import { setBits } from '../disk/bits.ts';
import type { Disk } from '../disk/disk.ts';
import { type Buffers, discard, type Extent } from '../disk/extent.ts';
import { assert, throwIfCancelled, VdiStreamError } from '../errors.ts';

/** Finds zeros. The addon is a fast one (`Native` in `host/native.ts`). */
export interface ZeroScan {
  /** [start, end, …] of each run of zero grains; the last grain may be short. */
  zeroRuns(bytes: Uint8Array, grain: number): number[];
  /** The first byte that is not zero, or -1. */
  firstNonZero(bytes: Uint8Array): number;
}

export interface EncodeOptions {
  readonly signal?: AbortSignal | undefined;
}

/** An image of a disk. */
export interface EncodedDisk {
  /** Bytes of the image. */
  readonly length: number;
  /**
   * The image. A disk can be streamed once, so call this once. Throws what reading the disk throws, USAGE if its extents are not in
   * the order of the disk, EXPORT_CHANGED, and CANCELLED.
   */
  bytes(buffers: Buffers, options?: EncodeOptions): Chunks;
}

/** Extents requested besides the one that is being encoded. */
const READ_AHEAD = 3;

/** Each extent is ready; its buffer is released when the next one is requested. */
export async function* readyExtents(disk: Disk, buffers: Buffers, signal: AbortSignal | undefined): AsyncGenerator<Extent, void, void> {
  let position = 0;
  for await (const extent of ahead(disk.extents(buffers, { signal }), READ_AHEAD, discard)) {
    try {
      throwIfCancelled(signal);
      if (extent.offset !== position || extent.overwrites === true) {
        throw new VdiStreamError('USAGE', `a disk is encoded in its own order, but byte ${extent.offset} comes after byte ${position}`);
      }
      if (extent.kind === 'data') await extent.ready;
      yield extent;
    } finally {
      discard(extent);
    }
    position += extent.length;
  }
  assert(position === disk.virtualSize, 'the extents cover the disk');
}

/** The bytes of the disk. */
export async function* flatBytes(disk: Disk, buffers: Buffers, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void, void> {
  for await (const extent of readyExtents(disk, buffers, signal)) {
    if (extent.kind === 'data') yield extent.bytes;
    else yield* zeroBytes(extent.length);
  }
}

export const ZEROS: Uint8Array = new Uint8Array(2 * MiB);

export function* zeroBytes(length: number): Generator<Uint8Array, void, void> {
  for (let at = 0; at < length; at += ZEROS.length) yield ZEROS.subarray(0, length - at);
}

/** For those who have no addon. */
export const PLAIN_SCAN: ZeroScan = {
  zeroRuns(bytes, grain) {
    const runs: number[] = [];
    for (let at = 0; at < bytes.length; at += grain) {
      const part = bytes.subarray(at, at + grain);
      const zero = part[0] === 0 && Buffer.compare(part, ZEROS.subarray(0, part.length)) === 0;
      if (zero !== (runs.length % 2 === 1)) runs.push(at);
    }
    if (runs.length % 2 === 1) runs.push(bytes.length);
    return runs;
  },
  firstNonZero: (bytes) => bytes.findIndex((byte) => byte !== 0),
};

/** Sets the bits of the sectors of `bytes` that are not all zero. */
export function markSectors(bitmap: Uint8Array, bytes: Uint8Array, scan: ZeroScan): void {
  bitmap.fill(0);
  setBits(bitmap, 0, bytes.length / SECTOR, true);
  const runs = scan.zeroRuns(bytes, SECTOR);
  for (let run = 0; run < runs.length; run += 2) {
    setBits(bitmap, (runs[run] ?? 0) / SECTOR, (runs[run + 1] ?? bytes.length) / SECTOR, false);
  }
}
