/**
 * A target in memory that remembers every call, and refuses what no writer may do: writes off the disk, off its sectors,
 * twice, or over one another. It is sparse, so a disk of terabytes can be written to it.
 */

import { VdiStreamError } from '../../src/errors.ts';
import { native } from '../../src/host/native.ts';
import type { Target } from '../../src/target/target.ts';

export interface MemoryTarget extends Target {
  /** `write 0+4096`, `zero 8192+512 cheapest`, in the order in which they were issued; reads are not listed. */
  readonly calls: readonly string[];
  /** What the rules of a target say was done wrong, as sentences. */
  readonly wrong: readonly string[];
  /** All that it holds now. */
  content(): Buffer;
  /** Changes a byte after it was written. */
  flip(offset: number): void;
}

export interface MemoryTargetOptions {
  /** Bytes; rounded up to whole sectors. */
  readonly size: number;
  readonly align?: number;
  /** The byte that it is full of before; OLD by default, or 0 where it reads zero. */
  readonly fill?: number;
  readonly readsZero?: boolean;
  /** Several writes of one place are no mistake, as long as each has ended before the next begins. Layers that come base first need it. */
  readonly rewrites?: boolean;
  /** The number of the call that fails, from 0. */
  readonly failAt?: number | undefined;
}

/** What a target that is not known to read zero holds before. */
export const OLD = 0xa5;

interface Range {
  readonly start: number;
  readonly end: number;
}

/** A stretch that has been written; zeros where it has no bytes. */
interface Run extends Range {
  readonly bytes: Uint8Array | undefined;
  /** Shares its sectors with a neighbour that may write them too. */
  readonly patched: boolean;
}

const overlaps = (a: Range, b: Range): boolean => a.start < b.end && b.start < a.end;

/** Any violation is thrown as a plain Error, which no test expects, and kept in `wrong`. */
export function memoryTarget(options: MemoryTargetOptions): MemoryTarget {
  const { align = 512, readsZero = false, fill = readsZero ? 0 : OLD, rewrites = false, failAt } = options;
  const size = Math.ceil(options.size / align) * align;
  const runs = createRuns();
  const calls: string[] = [];
  const wrong: string[] = [];
  const underWay = new Set<Range>();
  /** What was read and has not been written back: the sectors that a patch is about to change. Tracked only without rewrites. */
  const patches = new Set<Range>();
  let closed = false;

  function refuse(reason: string): never {
    wrong.push(reason);
    throw new Error(reason);
  }

  /** The range of a call, which the device must accept at that time. */
  function rangeOf(what: string, start: number, length: number): Range {
    const range = { start, end: start + length };
    if (closed) refuse(`${what} after the end`);
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(length) || length <= 0) refuse(`${what}: no sane numbers`);
    if (start < 0 || range.end > size) refuse(`${what}: outside a target of ${size}`);
    if (start % align !== 0 || length % align !== 0) refuse(`${what}: not whole sectors of ${align}`);
    for (const other of underWay) if (overlaps(range, other)) refuse(`${what}: while a write there is under way`);
    return range;
  }

  async function take(what: string, offset: number, length: number, bytes?: Uint8Array): Promise<void> {
    const range = rangeOf(what, offset, length);
    const patch = [...patches].find(({ start, end }) => start === range.start && end === range.end);
    if (patch) patches.delete(patch);
    for (const other of patches) if (overlaps(range, other)) refuse(`${what}: between the reading and the writing of a patch there`);
    if (!rewrites && !patch && runs.at(range).some(({ patched }) => !patched)) refuse(`${what}: a second time`);
    calls.push(what);
    underWay.add(range);
    const index = calls.length;
    const copy = bytes && Uint8Array.from(bytes);
    runs.put({ ...range, bytes: copy, patched: patch !== undefined });
    // As with a device, the answer comes later, and out of order; what the caller does to the bytes meanwhile would show.
    for (let wait = (index * 7) % 4; wait >= 0; wait--) await new Promise((resolve) => setImmediate(resolve));
    underWay.delete(range);
    if (failAt !== undefined && index > failAt) throw new VdiStreamError('TARGET_WRITE', 'this call was made to fail', { offset });
    if (bytes && copy && Buffer.compare(bytes, copy) !== 0) refuse(`${what}: its bytes changed while it was under way`);
  }

  function copyInto(into: Uint8Array, offset: number): void {
    into.fill(fill);
    const range = { start: offset, end: offset + into.length };
    for (const { start, end, bytes } of runs.at(range)) {
      const [from, to] = [Math.max(start, range.start), Math.min(end, range.end)];
      const part = into.subarray(from - offset, to - offset);
      if (bytes === undefined) part.fill(0);
      else part.set(bytes.subarray(from - start, to - start));
    }
  }

  return {
    name: 'memory',
    size,
    align,
    readsZero,
    direct: true,
    calls,
    wrong,
    content() {
      const bytes = Buffer.alloc(size);
      copyInto(bytes, 0);
      return bytes;
    },
    flip(offset) {
      const byte = new Uint8Array(1);
      copyInto(byte, offset);
      runs.put({ start: offset, end: offset + 1, bytes: byte.map((value) => value ^ 1), patched: false });
    },
    async write(bytes, offset, sums) {
      if (sums) native().addSums(sums, bytes, offset);
      await take(`write ${offset}+${bytes.length}`, offset, bytes.length, bytes);
    },
    async zero(offset, length, how) {
      await take(`zero ${offset}+${length} ${how}`, offset, length);
    },
    async read(into, offset, sums) {
      const range = rangeOf(`read ${offset}+${into.length}`, offset, into.length);
      if (!rewrites) patches.add(range);
      await new Promise((resolve) => setImmediate(resolve));
      copyInto(into, range.start);
      if (sums) native().addSums(sums, into, offset);
    },
    async sync() {},
    async close() {
      closed = true;
    },
    async abandon() {
      closed = true;
    },
  };
}

/** Runs in the order of their offsets, none of which overlaps another. */
function createRuns(): { at(range: Range): readonly Run[]; put(run: Run): void } {
  const runs: Run[] = [];

  /** The index of the first run that ends after `offset`. */
  function indexOf(offset: number): number {
    let low = 0;
    for (let high = runs.length; low < high; ) {
      const middle = (low + high) >> 1;
      if ((runs[middle]?.end ?? 0) > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  function at(range: Range): Run[] {
    const found: Run[] = [];
    for (let index = indexOf(range.start); index < runs.length; index++) {
      const run = runs[index];
      if (run === undefined || run.start >= range.end) break;
      found.push(run);
    }
    return found;
  }

  const part = (run: Run, start: number, end: number): Run => ({
    ...run,
    start,
    end,
    bytes: run.bytes?.subarray(start - run.start, end - run.start),
  });

  return {
    at,
    put(run) {
      const covered = at(run);
      const before = covered.filter(({ start }) => start < run.start).map((old) => part(old, old.start, run.start));
      const behind = covered.filter(({ end }) => end > run.end).map((old) => part(old, run.end, old.end));
      runs.splice(indexOf(run.start), covered.length, ...before, run, ...behind);
    },
  };
}
