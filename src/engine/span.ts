/**
 * Span: a short stretch of a target, and the parts of it that are to be written. Gaps between the parts are read and written back, so
 * nothing else may be under way there.
 */

import { KiB, roundDown, roundUp, SECTOR } from '../bytes.ts';
import { bitRuns, setBits } from '../disk/bits.ts';
import type { Range } from '../disk/disk.ts';
import { native, type Sums } from '../host/native.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { Target } from '../target/target.ts';

/** Reading a gap of this length and writing it back costs less than a second write. */
const MAX_BRIDGED = 16 * KiB;
/** Calls under way on a span. */
export const SPAN_CALLS = 4;

interface SpanPart extends Range {
  /** Where its bytes are: from byte `at` of `buffer` on. No view of them is kept, since there may be one for each sector. */
  readonly buffer: Uint8Array;
  readonly at: number;
  /** An earlier write, or an earlier part, has covered these sectors. */
  readonly overwrites: boolean;
}

export interface GatheredSpan {
  /** A sector boundary of the target. */
  readonly start: number;
  /** In their order: the last of those that overlap counts. */
  readonly parts: readonly SpanPart[];
  /** As long as the span, and aligned for the target. */
  readonly memory: Uint8Array;
}

/** A stretch of a span that is read or written by one call. */
interface SpanCall extends Range {
  /** The runs of sectors in it that the parts cover. */
  readonly runs: readonly Range[];
}

/** The memory of a range of the span. */
export const memoryOf = ({ start, memory }: GatheredSpan, { offset, length }: Range): Uint8Array =>
  memory.subarray(offset - start, offset - start + length);

/** Copies a part to its place in the memory. */
export const putPart = ({ start, memory }: GatheredSpan, { offset, length, buffer, at }: SpanPart): void =>
  memory.set(buffer.subarray(at, at + length), offset - start);

/** `sums` receives the checksums of the parts. */
export async function writeSpan(target: Target, span: GatheredSpan, sums: Sums | undefined): Promise<void> {
  const calls = spanCalls(span, target.align, target.writeOnly ? 0 : MAX_BRIDGED);
  // The checksums of what is overwritten are subtracted, so that is read too.
  const patches = calls.some(hasGaps) || (sums !== undefined && span.parts.some(({ overwrites }) => overwrites));
  if (patches) await eachInParallel(calls, SPAN_CALLS, (call) => target.read(memoryOf(span, call), call.offset));
  for (const part of span.parts) {
    if (sums && patches && part.overwrites) native().takeSums(sums, memoryOf(span, part), part.offset);
    putPart(span, part);
    if (sums && patches) native().addSums(sums, memoryOf(span, part), part.offset);
  }
  await eachInParallel(calls, SPAN_CALLS, (call) => target.write(memoryOf(span, call), call.offset, patches ? undefined : sums));
}

const hasGaps = ({ length, runs }: SpanCall): boolean => runs.reduce((sum, run) => sum + run.length, 0) < length;

/** The covered runs as sectors of `align` bytes. Those that are close together are one call. */
export function spanCalls(span: GatheredSpan, align: number, bridged = MAX_BRIDGED): SpanCall[] {
  const calls: { offset: number; length: number; readonly runs: Range[] }[] = [];
  for (const run of coveredRuns(span)) {
    const from = roundDown(run.offset, align);
    const to = roundUp(run.offset + run.length, align);
    const last = calls.at(-1);
    if (last !== undefined && from - (last.offset + last.length) <= bridged) {
      last.length = to - last.offset;
      last.runs.push(run);
    } else calls.push({ offset: from, length: to - from, runs: [run] });
  }
  return calls;
}

/** Ascending, as long as possible. */
function* coveredRuns({ start, parts, memory }: GatheredSpan): Generator<Range> {
  const sectors = memory.length / SECTOR;
  const covered = new Uint8Array(Math.ceil(sectors / 8));
  for (const { offset, length } of parts) {
    const first = (offset - start) / SECTOR;
    setBits(covered, first, first + length / SECTOR, true);
  }
  for (const { start: first, end, set } of bitRuns(covered, 0, sectors))
    if (set) yield { offset: start + first * SECTOR, length: (end - first) * SECTOR };
}
