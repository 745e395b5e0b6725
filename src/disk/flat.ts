/** A disk without blocks: all of its bytes, in order. */

import type { Cursor } from '../cursor.ts';
import type { Disk, DiskEnd, DiskFacts } from './disk.ts';
import type { Buffers, Extent } from './extent.ts';

interface Flat extends Pick<DiskFacts, 'type' | 'virtualSize' | 'identity'> {
  /** The extents of the whole disk, from the cursor on. */
  body(buffers: Buffers, signal: AbortSignal | undefined): AsyncIterable<Extent>;
  /** Checks what follows the last byte of the disk. */
  finish(): Promise<DiskEnd>;
  /** Reads over the disk. By default the cursor just moves. */
  pass?(): Promise<void>;
}

/** The disk begins at the start of the range of `cursor`. */
export function flatDisk(cursor: Cursor, { type, virtualSize, identity, body, finish, pass }: Flat): Disk {
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
    async skip() {
      await pass?.();
      return finish();
    },
    async *extents(buffers, { signal } = {}) {
      await cursor.moveTo(0);
      yield* body(buffers, signal);
      return finish();
    },
  };
}
