/**
 * Unaligned writes: any range of a target, even if it does not begin or end at a sector of the target (512-byte VHD sectors on a 4096-byte
 * device). Partial sectors at the ends are read, changed and written back, one at a time, since two writes may share a sector.
 */

import { roundDown, roundUp } from '../bytes.ts';
import { assert } from '../errors.ts';
import { allocate } from '../host/memory.ts';
import { native, type Sums } from '../host/native.ts';
import type { Target } from '../target/target.ts';

interface UnalignedTarget {
  /** As `Target.write`. */
  write(bytes: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  /** As `Target.zero`. */
  zero(offset: number, length: number, how: 'cheapest' | 'write', signal?: AbortSignal): Promise<void>;
  /** Subtracts the checksums of the current content of a range from `sums`. */
  subtract(offset: number, length: number, sums: Sums): Promise<void>;
}

export function unalignedTarget(target: Target): UnalignedTarget {
  let scratch: Uint8Array | undefined;
  let last: Promise<void> = Promise.resolve();

  /** Reads the sectors of a range, as many at a time as fit into the buffer, and passes them to `use`. */
  async function each(offset: number, length: number, use: (part: Part) => Promise<void> | void): Promise<void> {
    scratch ??= new Uint8Array(allocate(SCRATCH));
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const start = roundDown(at, target.align);
      const count = Math.min(length - done, start + SCRATCH - at);
      const sectors = scratch.subarray(0, roundUp(at + count, target.align) - start);
      await target.read(sectors, start);
      await use({ sectors, start, bytes: sectors.subarray(at - start, at - start + count), done });
      done += count;
    }
  }

  function queued(offset: number, length: number, use: (part: Part) => Promise<void> | void): Promise<void> {
    assert(offset + length <= target.size, 'a patch lies on the target');
    const result = last.then(() => each(offset, length, use));
    last = result.catch(() => {});
    return result;
  }

  /** Writes `data`, or zeros, at `offset`, without changing the bytes around it. */
  async function patch(offset: number, length: number, data?: Uint8Array): Promise<void> {
    if (length === 0) return;
    await queued(offset, length, ({ sectors, start, bytes, done }) => {
      if (data === undefined) bytes.fill(0);
      else bytes.set(data.subarray(done, done + bytes.length));
      return target.write(sectors, start);
    });
  }

  async function patchData(bytes: Uint8Array, offset: number, sums: Sums | undefined): Promise<void> {
    await patch(offset, bytes.length, bytes);
    if (sums) native().addSums(sums, bytes, offset);
  }

  return {
    async write(bytes, offset, sums) {
      const { first, whole } = cutAtSectors(offset, bytes.length, target.align);
      const inside = bytes.subarray(first, first + whole);
      // O_DIRECT needs memory with the alignment of the target; other memory is copied.
      if (whole === 0 || inside.byteOffset % target.align !== 0) return patchData(bytes, offset, sums);
      await target.write(inside, offset + first, sums);
      await patchData(bytes.subarray(0, first), offset, sums);
      await patchData(bytes.subarray(first + whole), offset + first + whole, sums);
    },
    async zero(offset, length, how, signal) {
      const { first, whole } = cutAtSectors(offset, length, target.align);
      await patch(offset, first);
      if (whole > 0) await target.zero(offset + first, whole, how, signal);
      await patch(offset + first + whole, length - first - whole);
    },
    subtract: (offset, length, sums) => queued(offset, length, ({ bytes, done }) => native().takeSums(sums, bytes, offset + done)),
  };
}

/** The number of bytes before the first whole sector of the target, and of those in whole sectors. */
function cutAtSectors(offset: number, length: number, align: number): { readonly first: number; readonly whole: number } {
  const first = Math.min(length, (align - (offset % align)) % align);
  return { first, whole: roundDown(length - first, align) };
}

interface Part {
  readonly sectors: Uint8Array;
  /** Byte of the target that `sectors` begins with. */
  readonly start: number;
  /** The bytes of the range that are in `sectors`. */
  readonly bytes: Uint8Array;
  /** Bytes of the range before `bytes`. */
  readonly done: number;
}

const SCRATCH = 64 * 1024;
