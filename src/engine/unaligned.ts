/**
 * Unaligned access to a target, through a small buffer of its own: writes that do not begin or end at one of its sectors (512-byte VHD
 * sectors on a 4096-byte device), which read, change and write the sector; and the checksums of what is about to be overwritten.
 */

import { roundDown, roundUp } from '../bytes.ts';
import { assert } from '../errors.ts';
import { native, type Sums } from '../host/native.ts';
import type { Target } from '../target/target.ts';

export interface UnalignedTarget {
  /** Puts `bytes`, or zeros, at byte `offset`, and leaves what lies around it as it is. */
  patch(offset: number, length: number, bytes?: Uint8Array): Promise<void>;
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

  /** One at a time: two writes may share a sector. */
  function queued(offset: number, length: number, work: () => Promise<void>): Promise<void> {
    assert(offset + length <= target.size, 'a patch lies on the target');
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  }

  return {
    patch: (offset, length, bytes) =>
      queued(offset, length, () =>
        each(offset, length, ({ sectors, start, meant, done }) => {
          if (bytes === undefined) meant.fill(0);
          else meant.set(bytes.subarray(done, done + meant.length));
          return target.write(sectors, start);
        }),
      ),
    subtract: (offset, length, sums) =>
      queued(offset, length, () => each(offset, length, ({ meant, done }) => native().takeSums(sums, meant, offset + done))),
  };
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
