/** Sums: verifying a target right after a write, against checksums taken while writing, so that the image is not read twice. */

import { checkOptions } from '../arguments.ts';
import { checkArguments } from '../block-arguments.ts';
import { MiB, roundUp } from '../bytes.ts';
import { throwIfCancelled } from '../errors.ts';
import { native, type Sums } from '../host/native.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { Pool } from '../host/pool.ts';
import type { Target } from '../target/target.ts';
import { mismatch } from './compare.ts';

/** Bytes of disk per checksum. */
export const SUM_SPAN = 2 * MiB;

/** Bytes of a hole after which the target is asked again, so that a large one does not keep the event loop busy. */
const ASK_EVERY = 512 * MiB;

/** The sums of an empty disk, which are all zero; 8 bytes for each 2 MiB. */
export function emptySums(size: number): Sums {
  checkArguments('emptySums', size);
  return new BigUint64Array(Math.ceil(size / SUM_SPAN));
}

export interface ReadBackOptions {
  readonly pool: Pool;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes compared so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** What was read back while the disk was being written. */
export interface EarlyReads {
  /** The checksums of it. */
  readonly found: Sums;
  /** Whether the checksum at this index is that of its whole span, as the target has it now. */
  isWhole(index: number): boolean;
}

/** Reads [0, size) of the target, including skipped ranges. Throws VERIFY_MISMATCH with the start of the 2 MiB that differ. */
export async function verifySums(target: Target, size: number, expected: Sums, options: ReadBackOptions): Promise<void> {
  checkArguments('verifySums', target, size, expected);
  checkOptions('verifySums', options);
  const { pool, signal, onProgress } = options;
  await verifyRest(target, size, expected, undefined, { pool, signal, onProgress });
}

/** Likewise, but does not read again what was read early. */
export async function verifyRest(
  target: Target,
  size: number,
  expected: Sums,
  early: EarlyReads | undefined,
  { pool, signal, onProgress }: ReadBackOptions,
): Promise<void> {
  const found = early?.found ?? emptySums(size);
  let compared = 0;

  async function check(offset: number): Promise<void> {
    throwIfCancelled(signal);
    const length = lengthOf(offset);
    const lease = await pool.acquire(signal);
    try {
      found[offset / SUM_SPAN] = 0n;
      for (let done = 0; done < length; done += lease.bytes.length)
        await add(lease.bytes, offset + done, Math.min(length - done, lease.bytes.length));
    } finally {
      lease.release();
    }
    judge(offset);
  }

  const lengthOf = (offset: number): number => Math.min(SUM_SPAN, size - offset);

  function judge(offset: number): void {
    const index = offset / SUM_SPAN;
    const length = lengthOf(offset);
    if (found[index] !== expected[index]) {
      throw mismatch(target, offset, `the ${length} bytes from here on differ from what was written`);
    }
    compared += length;
    onProgress?.(compared);
  }

  /** The starts of the spans that have to be read. Judges the others: those read early, and holes, whose sum is 0. */
  async function* spansToRead(): AsyncGenerator<number, void, void> {
    let known = 0;
    let data = 0;
    for (let offset = 0; offset < size; offset += SUM_SPAN) {
      const isRead = early?.isWhole(offset / SUM_SPAN) === true;
      if (offset >= known || (data < offset + SUM_SPAN && !isRead)) {
        throwIfCancelled(signal);
        data = (await target.nextData?.(offset)) ?? offset;
        known = offset + ASK_EVERY;
      }
      if (isRead) judge(offset);
      else if (data < offset + lengthOf(offset)) yield offset;
      else {
        found[offset / SUM_SPAN] = 0n;
        judge(offset);
      }
    }
  }

  /** Sums `length` bytes from `offset`. The last sector of the target may extend past the end of the disk. */
  async function add(buffer: Uint8Array, offset: number, length: number): Promise<void> {
    const whole = length % target.align === 0;
    const bytes = buffer.subarray(0, roundUp(length, target.align));
    await target.read(bytes, offset, whole ? found : undefined);
    if (!whole) native().addSums(found, bytes.subarray(0, length), offset);
  }

  // No more at a time than there are buffers.
  await eachInParallel(spansToRead(), Math.min(pool.count, 8), check);
}
