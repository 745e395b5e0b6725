/**
 * Read back: a target whose writes are read again as soon as they have ended, while others are under way. It needs no buffers: what was
 * written is in the checksums by then, so its memory receives what the target holds.
 */

import type { Target } from '../target/target.ts';
import { type EarlyReads, emptySums, SUM_SPAN } from './sums.ts';

/**
 * One of so many checksums is left for the end, so that a device which puts later data over earlier does not go unnoticed: a stretch of
 * 64 MiB that is lost has one of them.
 */
const LEFT = 32;

interface ReadingBack extends EarlyReads {
  /** To be written instead of the target. */
  readonly target: Target;
}

/** `size`: bytes that are going to be written or left empty. */
export function readingBack(target: Target, size: number): ReadingBack {
  const found = emptySums(size);
  // Bytes that were read of each span.
  const read = new Uint32Array(found.length);
  // What is read by others is about to be changed and written again; what was read of it early does not count any more.
  const changed = new Uint8Array(found.length);

  function* spans(offset: number, length: number): Generator<{ readonly index: number; readonly bytes: number }> {
    for (let at = offset; at < offset + length; ) {
      const index = Math.floor(at / SUM_SPAN);
      const end = Math.min(offset + length, (index + 1) * SUM_SPAN);
      yield { index, bytes: end - at };
      at = end;
    }
  }

  return {
    found,
    isWhole: (index) => index % LEFT !== 0 && changed[index] === 0 && read[index] === Math.min(SUM_SPAN, size - index * SUM_SPAN),
    target: {
      name: target.name,
      size: target.size,
      align: target.align,
      readsZero: target.readsZero,
      direct: target.direct,
      async write(bytes, offset, sums) {
        await target.write(bytes, offset, sums);
        if (sums === undefined) return;
        await target.read(bytes, offset, found);
        for (const span of spans(offset, bytes.length)) read[span.index] = (read[span.index] ?? 0) + span.bytes;
      },
      read(into, offset, sums) {
        for (const { index } of spans(offset, into.length)) changed[index] = 1;
        return target.read(into, offset, sums);
      },
      zero: (offset, length, how, signal) => target.zero(offset, length, how, signal),
      sync: () => target.sync(),
      close: (length) => target.close(length),
      abandon: () => target.abandon(),
    },
  };
}
