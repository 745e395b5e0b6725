/** A target in memory that keeps the exact list of calls, and refuses what a device would. */

import { assert } from '../../src/errors.ts';
import { native } from '../../src/io/native.ts';
import type { Target } from '../../src/io/target.ts';

export interface MemoryTarget extends Target {
  readonly bytes: Buffer;
  /** `write 0+4096`, `zero 8192+512 cheapest`, in the order in which they were issued; reads are not listed. */
  readonly calls: string[];
}

export interface MemoryTargetOptions {
  readonly size: number;
  readonly align?: number;
  readonly fill?: number;
  readonly readsZero?: boolean;
}

export function memoryTarget({ size, align = 512, fill = 0, readsZero = false }: MemoryTargetOptions): MemoryTarget {
  const bytes = Buffer.alloc(size, fill);
  const calls: string[] = [];

  function check(offset: number, length: number): void {
    assert(offset % align === 0 && length % align === 0 && length > 0, `${offset}+${length} is not aligned to ${align}`);
    assert(offset >= 0 && offset + length <= size, `${offset}+${length} is outside the device`);
  }

  return {
    path: 'memory',
    kind: 'block',
    size,
    align,
    readsZero,
    direct: true,
    bytes,
    calls,
    async write(data, offset, sums) {
      check(offset, data.length);
      calls.push(`write ${offset}+${data.length}`);
      if (sums) native().addSums(sums, data, offset);
      // The buffer is read when the device gets to it, so too early a release shows.
      await new Promise(setImmediate);
      bytes.set(data, offset);
    },
    async zero(offset, length, how) {
      check(offset, length);
      calls.push(`zero ${offset}+${length} ${how}`);
      await new Promise(setImmediate);
      bytes.fill(0, offset, offset + length);
    },
    async read(into, offset, sums) {
      check(offset, into.length);
      await new Promise(setImmediate);
      into.set(bytes.subarray(offset, offset + into.length));
      if (sums) native().addSums(sums, into, offset);
    },
    async sync() {},
    async close() {},
    async abandon() {},
  };
}
