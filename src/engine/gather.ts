/**
 * Gather: collects small extents, so that those which lie close together on the disk are written with one call. Tiny blocks in any order, or
 * bitmaps that alternate, would otherwise cost a write for each sector.
 *
 * Extents are copied into spare buffers of the pool. Once those are full, or an extent overwrites what is in them, the target is written
 * span by span, while nothing else is under way on it.
 */

import { isZero, KiB, MiB, roundDown } from '../bytes.ts';
import type { Range } from '../disk/disk.ts';
import type { Extent, Lease } from '../disk/extent.ts';
import { isReady, type Tap } from '../disk/tap.ts';
import { assert, throwIfCancelled } from '../errors.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { Pool } from '../host/pool.ts';
import type { Stages } from '../host/stages.ts';
import type { Target } from '../target/target.ts';
import type { InFlight } from './in-flight.ts';
import { plan, type ZeroPolicy } from './plan.ts';
import type { GatheredSpan } from './span.ts';
import type { Counts } from './writer.ts';

/** A larger write costs hardly less per byte. */
const SMALL = 64 * KiB;
/** What is put together at a time, if buffers are large enough. */
const MAX_SPAN = 2 * MiB;

/** As a tap, it copies extents while there is room in its buffers. */
interface Gather extends Tap {
  /** Takes an extent over if it is small, and a buffer can be spared. Failures are those of `inFlight`. */
  collect(extent: Extent): Promise<boolean>;
  /** Whether a part of this extent waits to be written. */
  overlaps(extent: Extent): boolean;
  /** Writes what was taken, once nothing is in flight. */
  flush(): Promise<void>;
  /** Releases the buffers, without writing. */
  drop(): void;
}

/** Writes the parts of a span to the target, or compares them with it. */
export type UseSpan = (span: GatheredSpan) => Promise<void>;

interface GatherOptions {
  readonly pool: Pool;
  readonly inFlight: InFlight;
  /** Bytes of the disk. */
  readonly size: number;
  readonly zero: ZeroPolicy;
  readonly useSpan: UseSpan;
  readonly signal: AbortSignal | undefined;
  readonly stages: Stages;
  /** Called once an extent is written, or skipped. */
  readonly count: (kind: keyof Counts, bytes: number) => void;
}

export function createGather(target: Target, options: GatherOptions): Gather {
  const { pool, inFlight, size, zero, useSpan, signal, stages, count } = options;
  const span = roundDown(Math.min(MAX_SPAN, pool.size / 4), target.align);
  const end = Math.min(size, target.size);
  const store = createStore(pool, span);
  const counts = { bytesWritten: 0, bytesZeroed: 0, bytesRewritten: 0 };

  const isSmall = (offset: number, length: number): boolean => length < Math.min(SMALL, span) && offset + length <= end;

  function take(extent: Extent): void {
    copy(extent);
    if (extent.kind === 'data') extent.release();
  }

  /** Copies the data, or zeros. */
  function copy(extent: Extent): void {
    const { kind, offset, length, overwrites = false } = extent;
    const data = kind === 'data' && (zero === 'write' || !isZero(extent.bytes)) ? extent.bytes : undefined;
    if (data === undefined && plan('zero', zero, target.readsZero, overwrites) === 'skip') {
      count('bytesSkipped', length);
      return;
    }
    store.put({ offset, length }, data, overwrites);
    counts[overwrites ? 'bytesRewritten' : data === undefined ? 'bytesZeroed' : 'bytesWritten'] += length;
  }

  async function useSpans(): Promise<void> {
    const { spans, memories } = store;
    // In the order of the disk.
    const sorted = [...spans].sort(([a], [b]) => a - b);
    await eachInParallel(sorted, memories.length, async ([start, parts]) => {
      throwIfCancelled(signal);
      const memory = memories.pop();
      assert(memory !== undefined, 'there is memory for each span that is being written');
      await stages.during('write', useSpan({ start, parts, memory }));
      memories.push(memory);
    });
    for (const kind of ['bytesWritten', 'bytesZeroed', 'bytesRewritten'] as const) {
      if (counts[kind] > 0) count(kind, counts[kind]);
      counts[kind] = 0;
    }
    store.clear();
  }

  async function flush(): Promise<void> {
    await inFlight.drained();
    if (inFlight.failure === undefined) await useSpans().catch(inFlight.fail);
  }

  return {
    accepts: (offset, length) => store.hasRoom(length) && isSmall(offset, length) && inFlight.failure === undefined,
    take,
    async collect(extent) {
      const { offset, length } = extent;
      if (!isSmall(offset, length)) return false;
      if (!store.hasRoom(length) && !(await store.extend())) {
        await flush();
        if (inFlight.failure !== undefined || !(await store.extend())) return false;
      }
      if (!(await isReady(extent))) return false;
      take(extent);
      return true;
    },
    overlaps: (extent) => store.overlaps(extent),
    flush,
    drop: () => store.clear(),
  };
}

type SpanParts = GatheredSpan['parts'][number][];

/** What waits to be written. */
interface Store {
  /** The parts in each span, by its first byte, in the order in which they came. */
  readonly spans: ReadonlyMap<number, SpanParts>;
  /** Memory for putting spans together; empty while there is none. */
  readonly memories: Uint8Array[];
  hasRoom(length: number): boolean;
  /** False if no buffer can be spared. */
  extend(): Promise<boolean>;
  /** Copies the bytes of a range, or zeros; there must be room. */
  put(range: Range, bytes: Uint8Array | undefined, overwrites: boolean): void;
  overlaps(extent: Extent): boolean;
  /** Releases all buffers. */
  clear(): void;
}

function createStore(pool: Pool, span: number): Store {
  const leases: Lease[] = [];
  const spans = new Map<number, SpanParts>();
  let buffer: Uint8Array = new Uint8Array(0);
  /** Bytes of the buffer that are in use. */
  let used = 0;

  function addPart(start: number, part: SpanParts[number]): void {
    const parts = spans.get(start);
    if (parts === undefined) spans.set(start, [part]);
    else parts.push(part);
  }

  return {
    spans,
    // The first half of the first buffer.
    get memories() {
      return leases.slice(0, 1).flatMap(({ bytes }) => [bytes.subarray(0, span), bytes.subarray(span, 2 * span)]);
    },
    hasRoom: (length) => used + length <= buffer.length,
    // At least one buffer is left for whatever waits for one, and nearly half of them for other writes that share the pool.
    async extend() {
      if (pool.free <= (leases.length === 0 ? 1 : Math.max(1, pool.count / 2 - 1))) return false;
      const lease = await pool.acquire();
      buffer = lease.bytes;
      used = leases.length === 0 ? 2 * span : 0;
      leases.push(lease);
      return true;
    },
    put({ offset, length }, bytes, overwrites) {
      if (bytes === undefined) buffer.fill(0, used, used + length);
      else buffer.set(bytes, used);
      for (let from = 0; from < length; ) {
        const start = roundDown(offset + from, span);
        const to = Math.min(length, start + span - offset);
        addPart(start, { offset: offset + from, length: to - from, buffer, at: used + from, overwrites });
        from = to;
      }
      used += length;
    },
    overlaps({ offset, length }) {
      const isIn = (at: number, bytes: number): boolean => at < offset + length && offset < at + bytes;
      for (const [start, parts] of spans) {
        if (isIn(start, span) && parts.some((part) => isIn(part.offset, part.length))) return true;
      }
      return false;
    },
    clear() {
      for (const lease of leases.splice(0)) lease.release();
      spans.clear();
      buffer = new Uint8Array(0);
      used = 0;
    },
  };
}
