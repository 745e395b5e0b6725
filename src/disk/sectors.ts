/**
 * A set of sectors of a disk. It takes two bits for each 2 MiB of the disk, and a bitmap of 512 bytes for each 2 MiB that is partly in
 * the set. For 2040 GiB that is 255 KiB, plus 64 KiB for every 128 partly filled blocks; 510 MiB if all are partly filled.
 */

import { MiB, SECTOR } from '../bytes.ts';
import { bitAt, bitRuns, setBits } from './bits.ts';

const SPAN = 2 * MiB;
const BITS = SPAN / SECTOR;
const FULL = new Uint8Array(BITS / 8).fill(0xff);
const EMPTY = new Uint8Array(BITS / 8);

/** Bytes [offset, offset + length) of the disk, all inside the set or all outside. */
export interface SectorRun {
  readonly offset: number;
  readonly length: number;
  readonly inside: boolean;
}

/** Offsets and lengths are bytes, multiples of 512, within the disk. */
export interface SectorSet {
  add(offset: number, length: number): void;
  remove(offset: number, length: number): void;
  addAll(other: SectorSet): void;
  /** The runs that cover [offset, offset + length), as long as possible. */
  runs(offset: number, length: number): Generator<SectorRun>;
}

/** A span is full, mixed (then it has a bitmap), or empty. */
interface Spans {
  readonly full: Uint8Array;
  readonly mixed: Uint8Array;
  readonly bitsOf: Map<number, Uint8Array>;
}

/** An empty set over a disk of `size` bytes. */
export function createSectorSet(size: number): SectorSet {
  const bytes = Math.ceil(Math.ceil(size / SPAN) / 8);
  const spans: Spans = { full: new Uint8Array(bytes), mixed: new Uint8Array(bytes), bitsOf: new Map() };
  return {
    add: (offset, length) => setRange(spans, offset, length, true),
    remove: (offset, length) => setRange(spans, offset, length, false),
    addAll(other) {
      for (const { offset, length, inside } of other.runs(0, size)) if (inside) setRange(spans, offset, length, true);
    },
    *runs(offset, length) {
      if (length === 0) return;
      let last: SectorRun | undefined;
      for (const run of storedRuns(spans, offset, length)) {
        if (last?.inside === run.inside) last = { ...last, length: last.length + run.length };
        else {
          if (last !== undefined) yield last;
          last = run;
        }
      }
      if (last !== undefined) yield last;
    },
  };
}

function setRange(spans: Spans, offset: number, length: number, value: boolean): void {
  const end = offset + length;
  for (let at = offset; at < end; ) {
    const span = Math.floor(at / SPAN);
    const whole = at % SPAN === 0 ? Math.floor((end - at) / SPAN) : 0;
    const stop = whole > 0 ? at + whole * SPAN : Math.min(end, (span + 1) * SPAN);
    if (whole > 0) setSpans(spans, span, span + whole, value);
    else setPart(spans, span, (at - span * SPAN) / SECTOR, (stop - span * SPAN) / SECTOR, value);
    at = stop;
  }
}

function setSpans({ full, mixed, bitsOf }: Spans, start: number, end: number, value: boolean): void {
  for (const run of bitRuns(mixed, start, end - start)) {
    if (run.set) for (let span = run.start; span < run.end; span++) bitsOf.delete(span);
  }
  setBits(mixed, start, end, false);
  setBits(full, start, end, value);
}

/** Sets or clears sectors [start, end) of one span. */
function setPart(spans: Spans, span: number, start: number, end: number, value: boolean): void {
  const { full, mixed, bitsOf } = spans;
  let bits = bitsOf.get(span);
  if (bits === undefined) {
    bits = new Uint8Array(BITS / 8);
    bits.fill(bitAt(full, span) ? 0xff : 0);
    bitsOf.set(span, bits);
    setBits(mixed, span, span + 1, true);
    setBits(full, span, span + 1, false);
  }
  setBits(bits, start, end, value);
  if (Buffer.compare(bits, value ? FULL : EMPTY) === 0) setSpans(spans, span, span + 1, value);
}

/** Runs as they are stored: neighbours may be equal. */
function* storedRuns({ full, mixed, bitsOf }: Spans, offset: number, length: number): Generator<SectorRun> {
  const end = offset + length;
  const first = Math.floor(offset / SPAN);
  const clip = (from: number, to: number, inside: boolean): SectorRun => {
    const start = Math.max(from, offset);
    return { offset: start, length: Math.min(to, end) - start, inside };
  };
  for (const part of bitRuns(mixed, first, Math.ceil(end / SPAN) - first)) {
    if (!part.set) {
      for (const { start, end: stop, set: inside } of bitRuns(full, part.start, part.end - part.start))
        yield clip(start * SPAN, stop * SPAN, inside);
      continue;
    }
    for (let span = part.start; span < part.end; span++) {
      const from = Math.max(0, offset - span * SPAN) / SECTOR;
      const to = Math.min(SPAN, end - span * SPAN) / SECTOR;
      for (const { start, end: stop, set: inside } of bitRuns(bitsOf.get(span) ?? EMPTY, from, to - from))
        yield { offset: span * SPAN + start * SECTOR, length: (stop - start) * SECTOR, inside };
    }
  }
}
