/**
 * Gather: collects small extents, so that those which lie close together on the disk are written with one call. Tiny blocks in any order, or
 * bitmaps that alternate, would otherwise cost a write for each sector.
 *
 * Extents are copied into spare buffers of the pool. Once those are full, or an extent overwrites what is in them, the target is written
 * span by span, while nothing else is under way on it.
 */

import { KiB, MiB, roundDown, roundUp, SECTOR } from '../bytes.ts';
import type { DataExtent, Extent, Lease } from '../disk/extent.ts';
import { createSectorSet, type SectorSet } from '../disk/sectors.ts';
import { assert, throwIfCancelled } from '../errors.ts';
import { native, type Sums } from '../host/native.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { Pool } from '../host/pool.ts';
import type { Stages } from '../host/stages.ts';
import type { Target } from '../target/target.ts';
import type { InFlight } from './in-flight.ts';
import { plan, type ZeroPolicy } from './plan.ts';
import { type SpanPart, writeSpan } from './span.ts';
import type { Counts } from './writer.ts';

/** A larger write costs hardly less per byte. */
const SMALL = 64 * KiB;
/** What is put together at a time, if buffers are large enough. */
const MAX_SPAN = 2 * MiB;

interface Gather {
  /** Takes an extent over if it is small, and a buffer can be spared. Failures are those of `inFlight`. */
  take(extent: Extent): Promise<boolean>;
  /** Whether a part of this extent waits to be written. */
  overlaps(extent: Extent): boolean;
  /** Writes what was taken, once nothing is in flight. */
  flush(): Promise<void>;
  /** Releases the buffers, without writing. */
  drop(): void;
}

interface GatherOptions {
  readonly pool: Pool;
  readonly inFlight: InFlight;
  /** Bytes of the disk. */
  readonly size: number;
  readonly zero: ZeroPolicy;
  readonly sums: Sums | undefined;
  readonly signal: AbortSignal | undefined;
  readonly stages: Stages;
  /** Called once an extent is written, or skipped. */
  readonly count: (kind: keyof Counts, bytes: number) => void;
}

export function createGather(target: Target, options: GatherOptions): Gather {
  const { pool, inFlight, size, zero, sums, signal, stages, count } = options;
  const span = roundDown(Math.min(MAX_SPAN, pool.size / 4), target.align);
  const end = Math.min(size, target.size);
  const store = createStore(pool, span, roundUp(size, target.align));
  const counts = new Map<keyof Counts, number>();

  /** Copies the data, or zeros. */
  function add(extent: Extent): void {
    const { kind, offset, length, overwrites = false } = extent;
    const data = kind === 'data' && (zero === 'write' || native().firstNonZero(extent.bytes) >= 0) ? extent.bytes : undefined;
    if (data === undefined && plan('zero', zero, target.readsZero, overwrites) === 'skip') {
      count('bytesSkipped', length);
      return;
    }
    const bytes = store.place(offset, length, overwrites);
    if (data === undefined) bytes.fill(0);
    else bytes.set(data);
    const counted = overwrites ? 'bytesRewritten' : data === undefined ? 'bytesZeroed' : 'bytesWritten';
    counts.set(counted, (counts.get(counted) ?? 0) + length);
  }

  function drop(): void {
    store.clear();
    counts.clear();
  }

  async function writeSpans(): Promise<void> {
    const { spans, covered, memories } = store;
    await eachInParallel(spans, memories.length, async ([start, parts]) => {
      throwIfCancelled(signal);
      const memory = memories.pop();
      assert(memory !== undefined, 'there is memory for each span that is being written');
      await stages.during(
        'write',
        writeSpan(target, { start, runs: covered.runs(start, Math.min(span, roundUp(end, SECTOR) - start)), parts, memory, sums }),
      );
      memories.push(memory);
    });
    for (const [kind, bytes] of counts) count(kind, bytes);
    drop();
  }

  async function flush(): Promise<void> {
    await inFlight.drained();
    if (inFlight.failure === undefined) await writeSpans().catch(inFlight.fail);
  }

  return {
    async take(extent) {
      const { offset, length } = extent;
      if (length >= Math.min(SMALL, span) || offset + length > end) return false;
      if (!(await store.makeRoom(length))) {
        await flush();
        if (inFlight.failure !== undefined || !(await store.makeRoom(length))) return false;
      }
      if (extent.kind === 'data' && !(await isReady(extent))) return false;
      add(extent);
      if (extent.kind === 'data') extent.release();
      return true;
    },
    overlaps: ({ offset, length }) => store.spans.size > 0 && [...store.covered.runs(offset, length)].some(({ inside }) => inside),
    flush,
    drop,
  };
}

const isReady = ({ ready }: DataExtent): Promise<boolean> =>
  ready.then(
    () => true,
    () => false,
  );

/** What waits to be written. */
interface Store {
  /** The parts in each span, by its first byte, in the order in which they came. */
  readonly spans: ReadonlyMap<number, readonly SpanPart[]>;
  /** The sectors that they cover. */
  readonly covered: SectorSet;
  /** Memory for putting spans together; empty while there is none. */
  readonly memories: Uint8Array[];
  /** False if no buffer can be spared. */
  makeRoom(length: number): Promise<boolean>;
  /** Where to put the bytes of a range; call `makeRoom` first. */
  place(offset: number, length: number, overwrites: boolean): Uint8Array;
  /** Releases all buffers. */
  clear(): void;
}

function createStore(pool: Pool, span: number, size: number): Store {
  const leases: Lease[] = [];
  const spans = new Map<number, SpanPart[]>();
  let covered = createSectorSet(size);
  let room: Uint8Array = new Uint8Array(0);

  /** At least one buffer is left for whatever waits for one, and half of them for other writes that share the pool. */
  async function extend(): Promise<boolean> {
    if (pool.free <= (leases.length === 0 ? 1 : pool.count / 2)) return false;
    const lease = await pool.acquire();
    room = lease.bytes.subarray(leases.length === 0 ? 2 * span : 0);
    leases.push(lease);
    return true;
  }

  return {
    spans,
    get covered() {
      return covered;
    },
    // The first half of the first buffer.
    get memories() {
      return leases.slice(0, 1).flatMap(({ bytes }) => [bytes.subarray(0, span), bytes.subarray(span, 2 * span)]);
    },
    makeRoom: async (length) => room.length >= length || extend(),
    place(offset, length, overwrites) {
      const bytes = room.subarray(0, length);
      room = room.subarray(length);
      covered.add(offset, length);
      for (let from = 0; from < length; ) {
        const start = roundDown(offset + from, span);
        const to = Math.min(length, start + span - offset);
        const part = { offset: offset + from, bytes: bytes.subarray(from, to), overwrites };
        const parts = spans.get(start);
        if (parts === undefined) spans.set(start, [part]);
        else parts.push(part);
        from = to;
      }
      return bytes;
    },
    clear() {
      for (const lease of leases.splice(0)) lease.release();
      if (spans.size > 0) covered = createSectorSet(size);
      spans.clear();
      room = new Uint8Array(0);
    },
  };
}
