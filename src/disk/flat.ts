/** A disk without blocks: all of its bytes are there, from the start of the cursor on and in their order. */

import type { Cursor } from '../cursor.ts';
import type { Buffers, Disk, DiskFacts, Extent } from './extent.ts';

export interface Flat extends Pick<DiskFacts, 'type' | 'virtualSize' | 'identity'> {
  /** What there is to be looked at behind the last extent. */
  finish(): Promise<void>;
}

/** `body` gives the extents of the whole disk, from where the cursor stands. */
export function flatDisk(
  cursor: Cursor,
  { type, virtualSize, identity, finish }: Flat,
  body: (buffers: Buffers, signal: AbortSignal | undefined) => AsyncIterable<Extent>,
): Disk {
  return {
    type,
    virtualSize,
    blockSize: undefined,
    identity,
    parent: undefined,
    allocatedBytes: virtualSize,
    *allocated() {
      yield { offset: 0, length: virtualSize };
    },
    skip: finish,
    async *extents(buffers, signal) {
      await cursor.moveTo(0);
      yield* body(buffers, signal);
      await finish();
    },
  };
}
