/** Pump: the loop that writes. It takes extents as they arrive, and keeps as many writes in flight as the pool has buffers. */

import { checkOptions } from '../arguments.ts';
import { checkArguments } from '../block-arguments.ts';
import { discard, type Extent } from '../disk/extent.ts';
import type { Tap } from '../disk/tap.ts';
import { assert, throwIfCancelled } from '../errors.ts';
import type { Sums } from '../host/native.ts';
import type { Pool } from '../host/pool.ts';
import { type Stages, untimed } from '../host/stages.ts';
import type { Target } from '../target/target.ts';
import { createGather, type UseSpan } from './gather.ts';
import { createInFlight, type InFlight } from './in-flight.ts';
import type { ZeroPolicy } from './plan.ts';
import { writeSpan } from './span.ts';
import { type Counts, createWriter } from './writer.ts';

/** Empty extents need no buffer, so the pool does not limit them. */
const MAX_EMPTY = 4;
/** Nor does it limit pieces that share a buffer. */
const MAX_IN_FLIGHT = 64;

export interface PumpOptions {
  /** Bytes that the extents cover. */
  readonly size: number;
  readonly zero?: ZeroPolicy | undefined;
  /** Receives the checksums of everything that is written. */
  readonly sums?: Sums | undefined;
  /** Spare buffers, to write small extents together. By default each extent is written by a call of its own. */
  readonly pool?: Pool | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called as work completes. */
  readonly onProgress?: ((counts: Counts) => void) | undefined;
}

export interface Pumped<T> extends Counts {
  /** What the extents returned. */
  readonly end: T;
}

/** The extents of a disk, or a function that returns them and gets a tap for the small ones. */
export type Extents<T> = AsyncGenerator<Extent, T, void> | ((tap: Tap | undefined) => AsyncGenerator<Extent, T, void>);

interface PumpParts {
  readonly stages?: Stages;
  /** What is done with small extents that were collected in buffers of `pool`. By default they are written. */
  readonly useSpan?: UseSpan;
}

/**
 * Writes the extents of a disk. Resolves when all of them are written and the image was read to its end without an error; the target is not
 * synced yet. After the first failure it starts no more writes, and waits for those in flight.
 */
export async function pump<T>(
  given: Extents<T>,
  target: Target,
  options: PumpOptions,
  { stages = untimed, useSpan = (span) => writeSpan(target, span, options.sums) }: PumpParts = {},
): Promise<Pumped<T>> {
  checkArguments('pump', given, target);
  checkOptions('pump', options);
  const { size, zero = 'auto', sums, pool, signal, onProgress } = options;
  const counts = { bytesWritten: 0, bytesZeroed: 0, bytesSkipped: 0, bytesRewritten: 0 };
  const count = (kind: keyof Counts, bytes: number): void => {
    counts[kind] += bytes;
    onProgress?.(counts);
  };
  const write = createWriter(target, { zero, sums, signal, count, stages });
  const inFlight = createInFlight();
  const gather = pool && createGather(target, { pool, inFlight, size, zero, useSpan, signal, stages, count });
  const extents = typeof given === 'function' ? given(gather) : given;
  let empties = 0;

  async function take(extent: Extent): Promise<void> {
    if (await gather?.collect(extent)) return;
    if (extent.overwrites && gather?.overlaps(extent)) await gather.flush();
    // Writes to the same place must happen in the order of the extents.
    while (extent.overwrites && inFlight.overlaps(extent)) await stages.during('wait', inFlight.settled());
    if (inFlight.failure !== undefined) return discard(extent);
    if (extent.kind === 'data') inFlight.add(extent, write(extent), () => extent.release());
    else {
      empties++;
      inFlight.add(extent, write(extent), () => empties--);
    }
    while (empties >= MAX_EMPTY || inFlight.size >= MAX_IN_FLIGHT) await stages.during('wait', inFlight.settled());
  }

  let end: { readonly value: T } | undefined;
  try {
    while (inFlight.failure === undefined && end === undefined) {
      throwIfCancelled(signal);
      const next = await nextOrFailure(extents, inFlight);
      if (next === undefined) break;
      if (next.done) end = next;
      else await take(next.value);
    }
    await gather?.flush();
  } catch (error) {
    inFlight.fail(error);
  }
  // Not awaited: the source may have stalled.
  if (end === undefined) endIteration(extents);
  await inFlight.drained();
  gather?.drop();
  if (inFlight.failure !== undefined) throw inFlight.failure.error;
  throwIfCancelled(signal);
  assert(end !== undefined && counts.bytesWritten + counts.bytesZeroed + counts.bytesSkipped === size, 'the extents cover the disk');
  return { ...counts, end: end.value };
}

/** Ends the iteration early, as leaving a `for await` loop does. */
function endIteration(extents: AsyncIterator<unknown, unknown, void>): void {
  extents.return?.().then(undefined, () => {});
}

/** The next extent; undefined if a write fails before it arrives. */
async function nextOrFailure<T>(
  extents: AsyncGenerator<Extent, T, void>,
  inFlight: InFlight,
): Promise<IteratorResult<Extent, T> | undefined> {
  if (inFlight.size === 0) return extents.next();
  let arrived = false;
  const next = extents.next().finally(() => {
    arrived = true;
  });
  while (!arrived && inFlight.failure === undefined) await Promise.race([next, inFlight.settled()]);
  if (arrived) return next;
  next.then(
    (late) => {
      if (!late.done) discard(late.value);
    },
    () => {},
  );
  return undefined;
}
