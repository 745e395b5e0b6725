/**
 * Gather: collects small extents, and writes those that lie close together on the disk with one call. Tiny blocks in any order, or bitmaps
 * that alternate, would otherwise cost a write for each sector.
 *
 * Extents are copied into spare buffers of the pool. Once those are full, the target is written span by span. Gaps between the extents of a
 * span are read from the target and written back, so nothing else may be under way there.
 */

import { KiB, MiB, roundDown, roundUp } from '../bytes.ts';
import type { Range } from '../disk/disk.ts';
import type { Extent, Lease } from '../disk/extent.ts';
import { createSectorSet } from '../disk/sectors.ts';
import { assert, throwIfCancelled } from '../errors.ts';
import { native, type Sums } from '../host/native.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { Pool } from '../host/pool.ts';
import type { Target } from '../target/target.ts';
import { plan, type ZeroPolicy } from './plan.ts';
import type { Counts } from './writer.ts';

/** A larger write costs hardly less per byte. */
const SMALL = 64 * KiB;
/** Reading a gap of this length and writing it back costs less than a second write. */
const MAX_GAP = 16 * KiB;
/** What is put together at a time, if buffers are large enough. */
const MAX_SPAN = 2 * MiB;
/** Calls under way on a span. */
const CALLS = 4;

export interface Gather {
  /** Whether an extent is small, and lies on the target. */
  suits(extent: Extent): boolean;
  /** Makes room for an extent that suits; false if no buffer can be spared for it. */
  makeRoom(extent: Extent): Promise<boolean>;
  /** Copies an extent whose data is ready. */
  add(extent: Extent): void;
  /** Whether a part of this extent waits here to be written. */
  overlaps(extent: Extent): boolean;
  /** Writes what was added. No other call may be under way on the target. */
  flush(): Promise<void>;
  /** Gives back the buffers, with whatever is in them. */
  drop(): void;
}

interface GatherOptions {
  readonly pool: Pool;
  /** Bytes of the disk. */
  readonly size: number;
  readonly zero: ZeroPolicy;
  readonly sums: Sums | undefined;
  readonly signal: AbortSignal | undefined;
  /** Called once an extent is written, or skipped. */
  readonly count: (kind: keyof Counts, bytes: number) => void;
}

/** An extent, or the part of it that lies in one span. */
interface Part {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly overwrites: boolean;
}

export function createGather(target: Target, { pool, size, zero, sums, signal, count }: GatherOptions): Gather {
  // Half of the first buffer is for putting spans together, two at a time.
  const span = roundDown(Math.min(MAX_SPAN, pool.size / 4), target.align);
  const end = Math.min(size, target.size);
  const leases: Lease[] = [];
  const spans = new Map<number, Part[]>();
  let covered = createSectorSet(roundUp(size, target.align));
  let counts = new Map<keyof Counts, number>();
  let room: Uint8Array = new Uint8Array(0);

  /** At least one buffer is left to whatever needs one next, and half of the pool to other writes that share it. */
  async function extend(): Promise<boolean> {
    if (pool.free <= (leases.length === 0 ? 1 : pool.count / 2)) return false;
    const lease = await pool.acquire(signal);
    room = lease.bytes.subarray(leases.length === 0 ? 2 * span : 0);
    leases.push(lease);
    return true;
  }

  function drop(): void {
    for (const lease of leases.splice(0)) lease.release();
    spans.clear();
    covered = createSectorSet(roundUp(size, target.align));
    counts = new Map();
    room = new Uint8Array(0);
  }

  /** Where the content of an extent is copied to. */
  function place(offset: number, length: number, overwrites: boolean): Uint8Array {
    const bytes = room.subarray(0, length);
    room = room.subarray(length);
    covered.add(offset, length);
    for (let from = 0; from < length; ) {
      const number = Math.floor((offset + from) / span);
      const to = Math.min(length, (number + 1) * span - offset);
      const parts = spans.get(number);
      const part = { offset: offset + from, bytes: bytes.subarray(from, to), overwrites };
      if (parts === undefined) spans.set(number, [part]);
      else parts.push(part);
      from = to;
    }
    return bytes;
  }

  async function writeSpan(number: number, parts: readonly Part[], memory: Uint8Array): Promise<void> {
    const start = number * span;
    const runs = runsOf(start, Math.min(span, roundUp(end, target.align) - start));
    const at = ({ offset, length }: Range): Uint8Array => memory.subarray(offset - start, offset - start + length);
    // The checksums of what is overwritten are subtracted, so that is read too.
    const whole = runs.every(({ full }) => full) && !(sums && parts.some(({ overwrites }) => overwrites));
    if (!whole) await eachInParallel(runs, CALLS, (run) => target.read(at(run), run.offset));
    for (const { offset, bytes, overwrites } of parts) {
      const into = at({ offset, length: bytes.length });
      if (sums && !whole && overwrites) native().takeSums(sums, into, offset);
      into.set(bytes);
      if (sums && !whole) native().addSums(sums, into, offset);
    }
    await eachInParallel(runs, CALLS, (run) => target.write(at(run), run.offset, whole ? sums : undefined));
  }

  /** What was added in a span as runs of whole sectors of the target, merged if a gap is short; `full` if there is none in the run. */
  function runsOf(start: number, length: number): (Range & { readonly full: boolean })[] {
    const runs: (Range & { readonly full: boolean })[] = [];
    for (const { offset, length: covers, inside } of covered.runs(start, length)) {
      if (!inside) continue;
      const from = roundDown(offset, target.align);
      const to = roundUp(offset + covers, target.align);
      const last = runs.at(-1);
      if (last !== undefined && from - (last.offset + last.length) <= MAX_GAP) {
        runs[runs.length - 1] = { offset: last.offset, length: to - last.offset, full: false };
      } else runs.push({ offset: from, length: to - from, full: to - from === covers });
    }
    return runs;
  }

  return {
    suits: ({ offset, length }) => length < Math.min(SMALL, span) && offset + length <= end,
    async makeRoom({ length }) {
      return room.length >= length || extend();
    },
    add(extent) {
      const { kind, offset, length, overwrites = false } = extent;
      const data = kind === 'data' && (zero === 'write' || native().firstNonZero(extent.bytes) >= 0) ? extent.bytes : undefined;
      if (data === undefined && plan('zero', zero, target.readsZero, overwrites) === 'skip') return count('bytesSkipped', length);
      const bytes = place(offset, length, overwrites);
      if (data === undefined) bytes.fill(0);
      else bytes.set(data);
      const counted = overwrites ? 'bytesRewritten' : data === undefined ? 'bytesZeroed' : 'bytesWritten';
      counts.set(counted, (counts.get(counted) ?? 0) + length);
    },
    overlaps({ offset, length }) {
      for (const { inside } of spans.size === 0 ? [] : covered.runs(offset, length)) if (inside) return true;
      return false;
    },
    async flush() {
      const [first] = leases;
      if (first === undefined) return;
      const memories = [first.bytes.subarray(0, span), first.bytes.subarray(span, 2 * span)];
      await eachInParallel(spans, memories.length, async ([number, parts]) => {
        throwIfCancelled(signal);
        const memory = memories.pop();
        assert(memory !== undefined, 'each worker has memory for a span');
        await writeSpan(number, parts, memory);
        memories.push(memory);
      });
      for (const [kind, bytes] of counts) count(kind, bytes);
      drop();
    },
    drop,
  };
}
