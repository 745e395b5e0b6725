/**
 * The end of a bzip2 stream: 48 bits and a CRC of 32, which begin at any bit (bzip2, compress.c). The program says "trailing garbage" and
 * succeeds, whether what follows are zeros, as on a tape, or anything else.
 */

import type { Chunks } from '../cursor.ts';

const END = (0x177245385090).toString(2).padStart(48, '0');
const END_BITS = END.length + 32;
/** Bytes that are kept, up to the last one that is not zero. */
const KEPT = 32;

interface Bzip2End {
  /** Passes `source` on, and leaves it open: the program stops at what it calls garbage. */
  readonly chunks: Chunks;
  /** Reads the rest. Whether nothing but zeros follows the end of the last stream. */
  isOnlyPadded(): Promise<boolean>;
  close(): void;
}

export function bzip2End(source: Chunks): Bzip2End {
  let last: Uint8Array = new Uint8Array(0);
  let zeros = 0;

  function see(chunk: Uint8Array): void {
    const end = chunk.findLastIndex((byte) => byte !== 0) + 1;
    if (end > 0) {
      const before = end >= KEPT ? new Uint8Array(0) : Buffer.concat([last, new Uint8Array(Math.min(zeros, KEPT))]);
      last = Buffer.concat([before, chunk.subarray(Math.max(0, end - KEPT), end)]).subarray(-KEPT);
      zeros = 0;
    }
    zeros += chunk.length - end;
  }

  async function* seen(): Chunks {
    for await (const chunk of source) {
      see(chunk);
      yield chunk;
    }
  }

  const all = seen()[Symbol.asyncIterator]();
  return {
    chunks: { [Symbol.asyncIterator]: () => ({ next: () => all.next() }) },
    async isOnlyPadded() {
      while (!(await all.next()).done);
      // The CRC may end in zeros.
      const bits = [...last, 0, 0, 0, 0].map((byte) => byte.toString(2).padStart(8, '0')).join('');
      const at = bits.lastIndexOf(END);
      return at >= 0 && Math.ceil((at + END_BITS) / 8) >= last.length;
    },
    close() {
      // A stalled source would never return. It is closed by its opener.
      all.return?.().catch(() => {});
    },
  };
}
