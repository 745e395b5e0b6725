/**
 * Pump: the one loop that writes. It takes extents as they come, asks the plan what to do with each, and keeps as much in
 * flight as the pool has buffers.
 */

import { KiB, roundDown } from '../bytes.ts';
import { type DataExtent, type Disk, discard, type Extent } from '../disk/extent.ts';
import { assert, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { native, type Sums } from '../host/native.ts';
import type { Pool } from '../host/pool.ts';
import type { Target } from '../target/target.ts';
import { createEdges } from './edges.ts';
import { plan, type ZeroPolicy } from './plan.ts';

/** Zero runs inside data are looked for in steps of this size. */
export const ZERO_GRAIN = 64 * KiB;
/**
 * Where zeros have to be made, a run inside a block is worth a call of its own only from here on; below, the zeros are
 * written with the data around them, in one write instead of three.
 */
export const ZERO_WORTH = 512 * KiB;
/** Empty extents need no buffer, so the pool does not bound them. */
const MAX_EMPTY = 4;
/** Pieces of one buffer neither. */
const MAX_IN_FLIGHT = 64;

export interface PumpOptions {
  readonly pool: Pool;
  readonly zero?: ZeroPolicy | undefined;
  /** Adds the checksums of everything that is written. */
  readonly sums?: Sums | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called as work completes. */
  readonly onProgress?: ((counts: Counts) => void) | undefined;
}

/** Bytes of the disk by what was done with them; the first three together are the virtual size. */
export interface Counts {
  bytesWritten: number;
  bytesZeroed: number;
  bytesSkipped: number;
  /** Written or zeroed again, because the image holds a parent before its child. */
  bytesRewritten: number;
}

/**
 * Writes a disk. Resolves when every extent is on the device and the image was read to its end without complaint; the
 * target is not synced yet. On the first failure nothing more is issued, and what is in flight is waited for.
 */
export async function pump(disk: Disk, target: Target, options: PumpOptions): Promise<Counts> {
  const { pool, sums, signal, zero: policy = 'auto' } = options;
  const counts: Counts = { bytesWritten: 0, bytesZeroed: 0, bytesSkipped: 0, bytesRewritten: 0 };
  const edges = createEdges(target);
  const inFlight = new Map<Promise<void>, Extent>();
  let empties = 0;
  let failure: { readonly error: unknown } | undefined;
  let wake: () => void = () => {};

  const count = (kind: keyof Counts, bytes: number, { overwrites }: Extent): void => {
    counts[overwrites ? 'bytesRewritten' : kind] += bytes;
    options.onProgress?.(counts);
  };

  function launch(extent: Extent, work: Promise<void>, settle: () => void): void {
    const tracked: Promise<void> = work
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .then(() => {
        inFlight.delete(tracked);
        settle();
        wake();
      });
    inFlight.set(tracked, extent);
  }

  /** Resolves when something in flight has settled. */
  const settled = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });

  async function writeData(bytes: Uint8Array, offset: number, extent: Extent): Promise<void> {
    const { first, whole } = cutAtSectors(offset, bytes.length, target.align);
    const inside = bytes.subarray(first, first + whole);
    // Only memory that lies on a sector as its place on the disk does can go there as it is.
    if (whole > 0 && inside.byteOffset % target.align === 0) {
      await target.write(inside, offset + first, sums);
      await patchData(bytes.subarray(0, first), offset);
      await patchData(bytes.subarray(first + whole), offset + first + whole);
    } else await patchData(bytes, offset);
    count('bytesWritten', bytes.length, extent);
  }

  async function patchData(bytes: Uint8Array, offset: number): Promise<void> {
    if (bytes.length === 0) return;
    await edges.patch(offset, bytes.length, bytes);
    if (sums) native().addSums(sums, bytes, offset);
  }

  async function makeEmpty(offset: number, length: number, extent: Extent): Promise<void> {
    const action = plan('zero', policy, target.readsZero, extent.overwrites);
    // Only a target whose size guard was lifted ends before the disk does; what is empty there is dropped.
    const present = Math.max(0, Math.min(length, target.size - offset));
    if (action === 'skip' || present === 0) return count('bytesSkipped', length, extent);
    const { first, whole } = cutAtSectors(offset, present, target.align);
    if (first > 0) await edges.patch(offset, first);
    if (whole > 0) await target.zero(offset + first, whole, action === 'write' ? 'write' : 'cheapest', signal);
    if (first + whole < present) await edges.patch(offset + first + whole, present - first - whole);
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
    await forget(extent);
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

  async function writeEmpty(extent: Extent): Promise<void> {
    await forget(extent);
    await makeEmpty(extent.offset, extent.length, extent);
  }

  /** What is overwritten is no part of what the target will hold. */
  async function forget({ offset, length, overwrites }: Extent): Promise<void> {
    const present = Math.min(length, target.size - offset);
    if (sums && overwrites && present > 0) await edges.forget(offset, present, sums);
  }

  async function take(extent: Extent): Promise<void> {
    // Two writes of one place are done in the order in which the disk gave them.
    while (extent.overwrites && [...inFlight.values()].some((other) => overlap(extent, other))) await settled();
    if (failure !== undefined) return discard(extent);
    if (extent.kind === 'data') launch(extent, writeExtent(extent), () => extent.release());
    else {
      empties++;
      launch(extent, writeEmpty(extent), () => empties--);
    }
    while (empties >= MAX_EMPTY || inFlight.size >= MAX_IN_FLIGHT) await settled();
  }

  const iterator = disk.extents(pool, signal)[Symbol.asyncIterator]();
  let covered = 0;
  try {
    while (failure === undefined) {
      throwIfCancelled(signal);
      const next = await nextOrFailure(iterator, settled, () => failure !== undefined);
      if (next === undefined || next.done) break;
      if (!next.value.overwrites) covered += next.value.length;
      await take(next.value);
    }
  } catch (error) {
    failure ??= { error };
  }
  if (failure !== undefined) iterator.return?.()?.then(undefined, () => {});
  await Promise.all(inFlight.keys());
  if (failure !== undefined) throw failure.error;
  throwIfCancelled(signal);
  assert(covered === disk.virtualSize, 'the extents cover the disk');
  return counts;
}

const overlap = (a: Extent, b: Extent): boolean => a.offset < b.offset + b.length && b.offset < a.offset + a.length;

/** The bytes of a range in front of the target's first whole sector, and those in whole sectors. */
function cutAtSectors(offset: number, length: number, align: number): { readonly first: number; readonly whole: number } {
  const first = Math.min(length, (align - (offset % align)) % align);
  return { first, whole: roundDown(length - first, align) };
}

/** The next extent; undefined when a write fails while the source still lets us wait. */
async function nextOrFailure(
  iterator: AsyncIterator<Extent>,
  settled: () => Promise<void>,
  failed: () => boolean,
): Promise<IteratorResult<Extent> | undefined> {
  let arrived = false;
  const next = iterator.next().finally(() => {
    arrived = true;
  });
  while (!arrived && !failed()) await Promise.race([next, settled()]);
  if (arrived) return next;
  next.then(
    (late) => {
      if (!late.done) discard(late.value);
    },
    () => {},
  );
  return undefined;
}

/** Beyond a target whose size guard was lifted only zeros can be dropped. */
function refuseBeyond(target: Target, beyond: Uint8Array, offset: number): void {
  const found = native().firstNonZero(beyond);
  if (found < 0) return;
  throw new VdiStreamError('TARGET_FULL', `${target.path} ends, but the disk still has data`, {
    device: target.path,
    offset: offset + found,
  });
}
