/**
 * Pool: a fixed set of aligned buffers. Every write needs one, so while none is free, everything upstream waits, down to the socket.
 */

import { checkOptions } from '../arguments.ts';
import { GiB, MiB } from '../bytes.ts';
import type { Buffers, Lease } from '../disk/extent.ts';
import { assert, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { allocate } from './memory.ts';
import type { Stages } from './stages.ts';

export interface PoolOptions {
  /** Number of buffers, by default 6: some are being written while others are filled. */
  readonly count?: number;
  /** Bytes of each buffer, a multiple of 4096; by default 8 MiB, four VHD blocks. */
  readonly size?: number;
}

export interface Pool extends Buffers {
  readonly count: number;
  /** Number of free buffers; equals `count` when all work has ended. */
  readonly free: number;
}

/** As the addon allocates at most (native/memory.cc). */
const MAX_POOL = 32 * GiB;

/** Reserves `count × size` bytes of address space. The kernel allocates memory as buffers are first filled. Throws MEMORY. */
export function createPool(options: PoolOptions = {}): Pool {
  checkOptions('createPool', options);
  const { count = 6, size = 8 * MiB } = options;
  if (count * size > MAX_POOL) throw new VdiStreamError('USAGE', `createPool: a pool has at most ${MAX_POOL} bytes`);
  const memory = allocate(count * size);
  // Last in, first out: the buffer used last is most likely still in the CPU cache.
  const idle = Array.from({ length: count }, (_, index) => new Uint8Array(memory, index * size, size));
  const waiting: Array<(bytes: Uint8Array<ArrayBuffer>) => void> = [];

  function lease(bytes: Uint8Array<ArrayBuffer>): Lease {
    let held = true;
    return {
      bytes,
      release() {
        assert(held, 'a buffer is released once');
        held = false;
        const next = waiting.shift();
        if (next) next(bytes);
        else idle.push(bytes);
      },
    };
  }

  function wait(signal: AbortSignal | undefined): Promise<Lease> {
    return new Promise((resolve, reject) => {
      const take = (bytes: Uint8Array<ArrayBuffer>): void => {
        signal?.removeEventListener('abort', cancel);
        resolve(lease(bytes));
      };
      const cancel = (): void => {
        waiting.splice(waiting.indexOf(take), 1);
        reject(new VdiStreamError('CANCELLED', 'cancelled', { cause: signal?.reason }));
      };
      waiting.push(take);
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }

  return {
    count,
    size,
    get free() {
      return idle.length;
    },
    async acquire(signal) {
      throwIfCancelled(signal);
      const bytes = idle.pop();
      return bytes === undefined ? wait(signal) : lease(bytes);
    },
  };
}

/** The buffers of a pool; a wait for a free one is the stage `wait`. */
export const timedBuffers = (pool: Pool, stages: Stages): Buffers => ({
  size: pool.size,
  acquire(signal) {
    const isFree = pool.free > 0;
    const lease = pool.acquire(signal);
    return isFree ? lease : stages.during('wait', lease);
  },
});
