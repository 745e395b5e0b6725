/**
 * Writes that do not begin or end at a sector of the target: 512-byte VHD sectors on a 4096-byte device. The target's
 * sector is read, changed and written, one after the other, since two extents may share one.
 */

import { roundDown, roundUp } from '../bytes.ts';
import { assert } from '../errors.ts';
import { native } from '../io/native.ts';
import type { Target } from '../io/target.ts';

export interface Edges {
  /** Puts `bytes`, or zeros, at byte `offset`, and leaves what lies around it as it is. */
  patch(offset: number, length: number, bytes?: Uint8Array): Promise<void>;
}

export function createEdges(target: Target): Edges {
  let scratch: Uint8Array | undefined;
  let last: Promise<void> = Promise.resolve();

  async function patch(offset: number, length: number, bytes: Uint8Array | undefined): Promise<void> {
    scratch ??= new Uint8Array(native().allocate(SCRATCH));
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const start = roundDown(at, target.align);
      const count = Math.min(length - done, start + SCRATCH - at);
      const sectors = scratch.subarray(0, roundUp(at + count, target.align) - start);
      await target.read(sectors, start);
      if (bytes === undefined) sectors.fill(0, at - start, at - start + count);
      else sectors.set(bytes.subarray(done, done + count), at - start);
      await target.write(sectors, start);
      done += count;
    }
  }

  return {
    patch(offset, length, bytes) {
      assert(offset + length <= target.size, 'a patch lies on the target');
      const work = last.then(() => patch(offset, length, bytes));
      last = work.catch(() => {});
      return work;
    },
  };
}

const SCRATCH = 64 * 1024;
