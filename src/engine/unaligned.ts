/**
 * Any range of a target, also one that does not begin or end at a sector of it (512-byte VHD sectors on a 4096-byte device): sectors at the
 * ends that are not whole are read, changed and written through a small buffer, one at a time, since two writes may share one.
 */

import { roundDown, roundUp } from '../bytes.ts';
import { assert } from '../errors.ts';
import { native, type Sums } from '../host/native.ts';
import type { Target } from '../target/target.ts';

interface UnalignedTarget {
  /** As `write` of a target. */
  write(bytes: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  /** As `zero` of a target. */
  zero(offset: number, length: number, how: 'cheapest' | 'write', signal?: AbortSignal): Promise<void>;
  /** Takes the checksums of what stands in a range out of `sums`. */
  subtract(offset: number, length: number, sums: Sums): Promise<void>;
}

export function unalignedTarget(target: Target): UnalignedTarget {
  let scratch: Uint8Array | undefined;
  let last: Promise<void> = Promise.resolve();

  /** Reads the sectors of a range, as many at a time as there is room for; `use` gets them, and the part that was meant. */
  async function each(offset: number, length: number, use: (part: Part) => Promise<void> | void): Promise<void> {
    scratch ??= new Uint8Array(native().allocate(SCRATCH));
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const start = roundDown(at, target.align);
      const count = Math.min(length - done, start + SCRATCH - at);
      const sectors = scratch.subarray(0, roundUp(at + count, target.align) - start);
      await target.read(sectors, start);
      await use({ sectors, start, meant: sectors.subarray(at - start, at - start + count), done });
      done += count;
    }
  }

  function queued(offset: number, length: number, use: (part: Part) => Promise<void> | void): Promise<void> {
    assert(offset + length <= target.size, 'a patch lies on the target');
    const done = last.then(() => each(offset, length, use));
    last = done.catch(() => {});
    return done;
  }

  /** Puts `bytes`, or zeros, at byte `offset`, and leaves what lies around it as it is. */
  async function patch(offset: number, length: number, bytes?: Uint8Array): Promise<void> {
    if (length === 0) return;
    await queued(offset, length, ({ sectors, start, meant, done }) => {
      if (bytes === undefined) meant.fill(0);
      else meant.set(bytes.subarray(done, done + meant.length));
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
      // Only memory that lies on a sector as its place on the disk does can go there as it is.
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
    subtract: (offset, length, sums) => queued(offset, length, ({ meant, done }) => native().takeSums(sums, meant, offset + done)),
  };
}

/** The bytes of a range before the target's first whole sector, and those in whole sectors. */
function cutAtSectors(offset: number, length: number, align: number): { readonly first: number; readonly whole: number } {
  const first = Math.min(length, (align - (offset % align)) % align);
  return { first, whole: roundDown(length - first, align) };
}

interface Part {
  readonly sectors: Uint8Array;
  /** Byte of the target that `sectors` begins with. */
  readonly start: number;
  readonly meant: Uint8Array;
  /** Bytes of the range before `meant`. */
  readonly done: number;
}

const SCRATCH = 64 * 1024;
