/**
 * Span: a short stretch of a target, and the parts of it that are to be written. Gaps between the parts are read and written back, so
 * nothing else may be under way there.
 */

import { KiB, roundDown, roundUp } from '../bytes.ts';
import type { Range } from '../disk/disk.ts';
import type { SectorRun } from '../disk/sectors.ts';
import { native, type Sums } from '../host/native.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { Target } from '../target/target.ts';

/** Reading a gap of this length and writing it back costs less than a second write. */
const MAX_BRIDGED = 16 * KiB;
/** Calls under way on a span. */
const CALLS = 4;

export interface SpanPart {
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** An earlier write, or an earlier part, has covered these sectors. */
  readonly overwrites: boolean;
}

interface Span {
  /** A sector boundary of the target. */
  readonly start: number;
  /** Which sectors the parts cover. */
  readonly runs: Iterable<SectorRun>;
  readonly parts: readonly SpanPart[];
  /** As long as the span, and aligned for the target. */
  readonly memory: Uint8Array;
  /** Receives the checksums of the parts. */
  readonly sums: Sums | undefined;
}

/** The parts are written in their order: the last of those that overlap is what the target has in the end. */
export async function writeSpan(target: Target, { start, runs, parts, memory, sums }: Span): Promise<void> {
  const calls = merged(runs, target.align, target.writeOnly ? 0 : MAX_BRIDGED);
  const at = ({ offset, length }: Range): Uint8Array => memory.subarray(offset - start, offset - start + length);
  // The checksums of what is overwritten are subtracted, so that is read too.
  const patches = calls.some(({ hasGaps }) => hasGaps) || (sums !== undefined && parts.some(({ overwrites }) => overwrites));
  if (patches) await eachInParallel(calls, CALLS, (call) => target.read(at(call), call.offset));
  for (const { offset, bytes, overwrites } of parts) {
    const into = at({ offset, length: bytes.length });
    if (sums && patches && overwrites) native().takeSums(sums, into, offset);
    into.set(bytes);
    if (sums && patches) native().addSums(sums, into, offset);
  }
  await eachInParallel(calls, CALLS, (call) => target.write(at(call), call.offset, patches ? undefined : sums));
}

interface WriteCall extends Range {
  readonly hasGaps: boolean;
}

/** The covered runs as whole sectors of the target. Those that are close together are one call. */
function merged(runs: Iterable<SectorRun>, align: number, bridged: number): WriteCall[] {
  const calls: WriteCall[] = [];
  for (const { offset, length, inside } of runs) {
    if (!inside) continue;
    const from = roundDown(offset, align);
    const to = roundUp(offset + length, align);
    const last = calls.at(-1);
    if (last !== undefined && from - (last.offset + last.length) <= bridged) {
      calls[calls.length - 1] = { offset: last.offset, length: to - last.offset, hasGaps: true };
    } else calls.push({ offset: from, length: to - from, hasGaps: to - from > length });
  }
  return calls;
}
