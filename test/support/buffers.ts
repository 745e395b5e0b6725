/** A plain pool of ordinary memory, for decoders under test. It detects use after release, and bytes that were never filled. */

import { expect } from 'vitest';
import type { Buffers } from '../../src/disk/extent.ts';

/** What an unfilled buffer contains, so that a forgotten byte is not a lucky zero. */
export const STALE = 0xd1;

export interface CountedBuffers extends Buffers {
  /** Buffers that are handed out now. */
  readonly held: number;
}

/** `count` buffers at most; a request for more waits, as in the real pool, so a leak shows as a test that hangs. */
export function plainBuffers(size = 64 * 1024, count = 16): CountedBuffers {
  const waiting: Array<() => void> = [];
  let held = 0;
  return {
    size,
    get held() {
      return held;
    },
    async acquire() {
      while (held >= count) await new Promise<void>((resolve) => waiting.push(resolve));
      held++;
      const bytes = new Uint8Array(size).fill(STALE);
      let isHeld = true;
      return {
        bytes,
        release() {
          expect(isHeld, 'a buffer is released once').toBe(true);
          isHeld = false;
          held--;
          bytes.fill(STALE);
          waiting.shift()?.();
        },
      };
    },
  };
}
