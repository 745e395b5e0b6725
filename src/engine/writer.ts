/** Writer: brings one extent onto a target, by what the plan says of its data and of the zeros in it. */

import { KiB } from '../bytes.ts';
import type { DataExtent, EmptyExtent, Extent } from '../disk/extent.ts';
import { VdiStreamError } from '../errors.ts';
import { native, type Sums } from '../host/native.ts';
import type { Target } from '../target/target.ts';
import { plan, type ZeroPolicy } from './plan.ts';
import { unalignedTarget } from './unaligned.ts';

/** Zero runs inside data are looked for in steps of this size. */
const ZERO_GRAIN = 64 * KiB;
/**
 * Where zeros have to be made, a run inside a block is worth a call of its own only from here on; below, the zeros are
 * written with the data around them, in one write instead of three.
 */
const ZERO_WORTH = 512 * KiB;

/** Bytes of the disk by what was done with them; the first three together are the virtual size. */
export interface Counts {
  readonly bytesWritten: number;
  readonly bytesZeroed: number;
  readonly bytesSkipped: number;
  /** Written or zeroed again, because the image holds a parent before its child. */
  readonly bytesRewritten: number;
}

interface WriterOptions {
  readonly zero: ZeroPolicy;
  /** Adds the checksums of everything that is written. */
  readonly sums?: Sums | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called as work completes. */
  readonly count: (kind: keyof Counts, bytes: number) => void;
}

/** Resolves when the extent is on the target, and nothing uses its bytes any more, whether well or not. */
type Writer = (extent: Extent) => Promise<void>;

export function createWriter(target: Target, { zero: policy, sums, signal, count: onCount }: WriterOptions): Writer {
  const unaligned = unalignedTarget(target);
  const count = (kind: keyof Counts, bytes: number, { overwrites }: Extent): void => onCount(overwrites ? 'bytesRewritten' : kind, bytes);

  async function writeData(bytes: Uint8Array, offset: number, extent: Extent): Promise<void> {
    await unaligned.write(bytes, offset, sums);
    count('bytesWritten', bytes.length, extent);
  }

  async function makeEmpty(offset: number, length: number, extent: Extent): Promise<void> {
    const action = plan('zero', policy, target.readsZero, extent.overwrites);
    // Only a target whose size guard was lifted ends before the disk does; what is empty there is dropped.
    const present = Math.max(0, Math.min(length, target.size - offset));
    if (action === 'skip' || present === 0) return count('bytesSkipped', length, extent);
    await unaligned.zero(offset, present, action === 'write' ? 'write' : 'cheapest', signal);
    count('bytesZeroed', present, extent);
    if (present < length) count('bytesSkipped', length - present, extent);
  }

  /** Cuts data into what is written and what turned out to be zero. */
  async function writeExtent(extent: DataExtent): Promise<void> {
    await extent.ready;
    const { offset } = extent;
    const bytes = extent.bytes.subarray(0, Math.max(0, target.size - offset));
    if (bytes.length < extent.length) {
      refuseBeyond(target, extent.bytes.subarray(bytes.length), offset + bytes.length);
      count('bytesSkipped', extent.length - bytes.length, extent);
    }
    await subtract(extent);
    const runs = policy === 'write' ? [] : native().zeroRuns(bytes, ZERO_GRAIN);
    const least = plan('zero', policy, target.readsZero, extent.overwrites) === 'zero' ? Math.min(ZERO_WORTH, bytes.length) : 0;
    const work: Promise<void>[] = [];
    let done = 0;
    for (let run = 0; run < runs.length; run += 2) {
      const start = runs[run] ?? 0;
      const end = runs[run + 1] ?? bytes.length;
      if (end - start < least) continue;
      if (start > done) work.push(writeData(bytes.subarray(done, start), offset + done, extent));
      work.push(makeEmpty(offset + start, end - start, extent));
      done = end;
    }
    if (done < bytes.length) work.push(writeData(bytes.subarray(done), offset + done, extent));
    // The buffer is free when all of them have ended, whether well or not.
    const outcomes = await Promise.allSettled(work);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  async function writeEmpty(extent: EmptyExtent): Promise<void> {
    await subtract(extent);
    await makeEmpty(extent.offset, extent.length, extent);
  }

  /** What is overwritten is no part of what the target will hold. */
  async function subtract({ offset, length, overwrites }: Extent): Promise<void> {
    const present = Math.min(length, target.size - offset);
    if (sums && overwrites && present > 0) await unaligned.subtract(offset, present, sums);
  }

  return (extent) => (extent.kind === 'data' ? writeExtent(extent) : writeEmpty(extent));
}

/** Beyond a target whose size guard was lifted only zeros can be dropped. */
function refuseBeyond(target: Target, beyond: Uint8Array, offset: number): void {
  const found = native().firstNonZero(beyond);
  if (found < 0) return;
  throw new VdiStreamError('TARGET_FULL', `${target.name} ends, but the disk still has data`, {
    device: target.name,
    offset: offset + found,
  });
}
