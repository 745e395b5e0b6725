/** A disk in memory that is read in ranges, and checks how. */

import type { ReadRange } from '../../src/disk/probe.ts';

export interface RangeReader {
  readonly read: ReadRange;
  /** What was asked for. */
  readonly ranges: ReadonlyArray<{ readonly offset: number; readonly length: number }>;
}

/** Bytes that are not in `patches` come from `fill`, or are zeros. Fails on a range that the contract of `findContent` excludes. */
export function rangeReader(
  size: number,
  patches: ReadonlyArray<readonly [at: number, bytes: Uint8Array]>,
  fill: (bytes: Uint8Array, offset: number) => void = () => {},
): RangeReader {
  const ranges: { offset: number; length: number }[] = [];
  return {
    ranges,
    async read(offset, length) {
      ranges.push({ offset, length });
      if (offset < 0 || length <= 0 || offset + length > size) throw new Error(`read ${length} at ${offset} of ${size}`);
      if (offset % 4096 > 0) throw new Error(`unaligned offset ${offset}`);
      if (length % 4096 > 0 && offset + length !== size) throw new Error(`unaligned length ${length} at ${offset}`);
      const bytes = new Uint8Array(length);
      fill(bytes, offset);
      for (const [at, patch] of patches) {
        const from = Math.max(at, offset);
        const to = Math.min(at + patch.length, offset + length);
        if (from < to) bytes.set(patch.subarray(from - at, to - at), from - offset);
      }
      return bytes;
    },
  };
}
