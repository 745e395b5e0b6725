/** Writer: writes one extent to a target, following the plan for its data and for the zeros in it. */

import { KiB } from '../bytes.ts';
import type { DataExtent, EmptyExtent, Extent } from '../disk/extent.ts';
import { VdiStreamError } from '../errors.ts';
import { native, type Sums } from '../host/native.ts';
import type { Stages } from '../host/stages.ts';
import type { Target } from '../target/target.ts';
import { plan, type ZeroPolicy } from './plan.ts';
import { unalignedTarget } from './unaligned.ts';

/** Granularity of the search for zero runs in data. */
const ZERO_GRAIN = 64 * KiB;
/**
 * If zeros cannot be skipped, a shorter run of them is written with the data around it: one write instead of three calls.
 */
const ZERO_WORTH = 512 * KiB;

/** Bytes of the disk by what was done with them. The first three add up to the virtual size. */
export interface Counts {
  readonly bytesWritten: number;
  readonly bytesZeroed: number;
  readonly bytesSkipped: number;
  /** Written or zeroed again, because the image has a parent before its child. */
  readonly bytesRewritten: number;
}

interface WriterOptions {
  readonly zero: ZeroPolicy;
  /** Receives the checksums of everything that is written. */
  readonly sums?: Sums | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly stages: Stages;
  /** Called as work completes. */
  readonly count: (kind: keyof Counts, bytes: number) => void;
}

/** Settles when the extent has been written or has failed, and its bytes are no longer in use. */
type Writer = (extent: Extent) => Promise<void>;

export function createWriter(target: Target, { zero: policy, sums, signal, stages, count: onCount }: WriterOptions): Writer {
  const unaligned = unalignedTarget(target);
  const count = (kind: keyof Counts, bytes: number, { overwrites }: Extent): void => onCount(overwrites ? 'bytesRewritten' : kind, bytes);

  async function writeData(bytes: Uint8Array, offset: number, extent: Extent): Promise<void> {
    await stages.during('write', unaligned.write(bytes, offset, sums));
    count('bytesWritten', bytes.length, extent);
  }

  async function makeEmpty(offset: number, length: number, extent: Extent): Promise<void> {
    const action = plan('zero', policy, target.readsZero, extent.overwrites);
    // A target can be smaller than the disk only if the size guard was lifted. Empty ranges past its end are dropped.
    const present = Math.max(0, Math.min(length, target.size - offset));
    if (action === 'skip' || present === 0) return count('bytesSkipped', length, extent);
    await stages.during('write', unaligned.zero(offset, present, action === 'write' ? 'write' : 'cheapest', signal));
    count('bytesZeroed', present, extent);
    if (present < length) count('bytesSkipped', length - present, extent);
  }

  /** Splits data into runs to write and runs of zeros. */
  async function writeExtent(extent: DataExtent): Promise<void> {
    await extent.ready;
    const { offset } = extent;
    const bytes = extent.bytes.subarray(0, Math.max(0, target.size - offset));
    if (bytes.length < extent.length) {
      refuseBeyond(target, extent.bytes.subarray(bytes.length), offset + bytes.length);
      count('bytesSkipped', extent.length - bytes.length, extent);
    }
    await subtract(extent);
    const runs = policy === 'write' ? [] : stages.run('scan', () => native().zeroRuns(bytes, ZERO_GRAIN));
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
    // The buffer is in use until all of them have settled.
    const outcomes = await Promise.allSettled(work);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  async function writeEmpty(extent: EmptyExtent): Promise<void> {
    await subtract(extent);
    await makeEmpty(extent.offset, extent.length, extent);
  }

  /** Removes data that is about to be overwritten from the checksums. */
  async function subtract({ offset, length, overwrites }: Extent): Promise<void> {
    const present = Math.min(length, target.size - offset);
    if (sums && overwrites && present > 0) await stages.during('write', unaligned.subtract(offset, present, sums));
  }

  return (extent) => (extent.kind === 'data' ? writeExtent(extent) : writeEmpty(extent));
}

/** Past the end of the target (the size guard was lifted) only zeros can be dropped. */
function refuseBeyond(target: Target, beyond: Uint8Array, offset: number): void {
  const found = native().firstNonZero(beyond);
  if (found < 0) return;
  throw new VdiStreamError('TARGET_FULL', `${target.name} ends here, but the disk has more data`, {
    device: target.name,
    offset: offset + found,
  });
}
