/** A target in memory that remembers every call, and refuses what no pump may do: writes off the disk, off its sectors, or twice. */

import { VdiStreamError } from '../../src/errors.ts';
import { native } from '../../src/io/native.ts';
import type { Target } from '../../src/io/target.ts';

export interface Call {
  readonly kind: 'write' | 'zero';
  readonly offset: number;
  readonly length: number;
  /** What was written, as it was when the call was made. */
  readonly bytes?: Uint8Array;
}

export interface CheckedTarget extends Target {
  readonly calls: readonly Call[];
  /** What the rules of a target say was done wrong, as sentences. */
  readonly wrong: readonly string[];
}

export interface CheckedOptions {
  /** Virtual size of the disk, bytes; the target is that rounded up to `align`. */
  readonly size: number;
  readonly align?: 512 | 4096;
  readonly readsZero?: boolean;
  /** The number of the call that fails, from 0. */
  readonly failAt?: number | undefined;
}

/** What a target that is not known to read zero holds before. */
export const OLD = 0xa5;

/** Any violation is thrown as a plain Error, which no test takes for an answer, and kept in `wrong`. */
export function checkedTarget({ size, align = 512, readsZero = false, failAt }: CheckedOptions): CheckedTarget {
  const end = Math.ceil(size / align) * align;
  const calls: Call[] = [];
  const wrong: string[] = [];
  /** Ranges that were read and may be written again: what shares its sectors with a neighbour is patched. */
  const patchable: Array<readonly [offset: number, length: number]> = [];
  const patched = new Set<Call>();
  let closed = false;

  function refuse(reason: string): never {
    wrong.push(reason);
    throw new Error(reason);
  }

  async function take(call: Call, live?: Uint8Array): Promise<void> {
    const { kind, offset, length } = call;
    const what = `${kind} of ${length} bytes at ${offset}`;
    if (closed) refuse(`${what} after the end`);
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || length <= 0) refuse(`${what}: no sane numbers`);
    if (offset < 0 || offset + length > end) refuse(`${what}: outside the disk of ${size}`);
    if (offset % align !== 0 || length % align !== 0) refuse(`${what}: not whole sectors of ${align}`);
    const patch = patchable.findIndex(([at, count]) => at === offset && count === length);
    if (kind === 'write' && patch >= 0) patchable.splice(patch, 1);
    else if (calls.some((other) => offset < other.offset + other.length && offset + length > other.offset && !patched.has(other))) {
      refuse(`${what}: a second time`);
    }
    if (patch >= 0) patched.add(call);
    calls.push(call);
    // As with a device, the answer comes later; what the caller does to the bytes meanwhile would show.
    await new Promise((resolve) => setImmediate(resolve));
    if (failAt !== undefined && calls.length > failAt) throw new VdiStreamError('TARGET_WRITE', 'this call was made to fail', { offset });
    if (live && call.bytes && Buffer.compare(live, call.bytes) !== 0) refuse(`${what}: its bytes changed while it was under way`);
  }

  return {
    path: 'memory:',
    kind: 'block',
    size: end,
    align,
    readsZero,
    direct: false,
    calls,
    wrong,
    write(bytes, offset, sums) {
      if (sums) native().addSums(sums, bytes, offset);
      return take({ kind: 'write', offset, length: bytes.length, bytes: Uint8Array.from(bytes) }, bytes);
    },
    zero: (offset, length) => take({ kind: 'zero', offset, length }),
    async read(into, offset, sums) {
      if (offset < 0 || offset + into.length > end) refuse(`read of ${into.length} bytes at ${offset}: outside the disk`);
      into.fill(readsZero ? 0 : OLD);
      for (const call of calls) {
        const from = Math.max(offset, call.offset);
        const to = Math.min(offset + into.length, call.offset + call.length);
        if (from >= to) continue;
        const part = into.subarray(from - offset, to - offset);
        if (call.bytes === undefined) part.fill(0);
        else part.set(call.bytes.subarray(from - call.offset, to - call.offset));
      }
      patchable.push([offset, into.length]);
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
