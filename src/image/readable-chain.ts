/**
 * ReadableChain: one or several VHDs as a disk that can be read at any place. Each sector comes from the layer nearest the leaf that has it;
 * where a layer ends, the disk reads as zero, as in `overlay.ts`.
 *
 * Memory: 4 bytes per block and 128 KiB of bitmaps for each layer, and 1 MiB for each read that has been in flight at the same time.
 */

import { KiB, SECTOR } from '../bytes.ts';
import type { Range } from '../disk/disk.ts';
import type { ReadableDisk } from '../disk/readable.ts';
import { assert, inMember, throwIfCancelled } from '../errors.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { ReadableFile } from '../source/readable-file.ts';
import type { OnWarning } from '../warnings.ts';
import type { FileLayer } from './file-layer.ts';
import { createLayers } from './layers.ts';

interface ChainRules {
  /** Accept parents with any unique ID. */
  readonly anyParent: boolean;
  readonly warn: OnWarning;
}

/** The layers, leaf first, of one disk. Closing it closes their files. Throws CHAIN_… and VHD_DIFFERENCING. */
export function readableChain(layers: readonly FileLayer[], { anyParent, warn }: ChainRules): ReadableDisk {
  const [leaf] = layers;
  assert(leaf !== undefined, 'a chain has a leaf');
  checkLinks(layers, { anyParent, warn });
  const { virtualSize: size } = leaf.facts;
  const scratch: Scratch = [];
  return {
    name: leaf.file.name,
    size,
    align: SECTOR,
    read: (into, offset) => readRange(layers, scratch, into, offset),
    mayHold: (signal) => (layers.length === 1 && leaf.facts.type === 'fixed' ? dataUpTo(size, leaf.file, signal) : held(layers, signal)),
    async version() {
      const versions = await Promise.all(layers.map((layer) => layer.version()));
      return versions.includes(undefined) ? undefined : versions.join(', ');
    },
    async sharesBytesWith(path) {
      for (const { file } of layers) if (await file.sharesBytesWith(path)) return true;
      return false;
    },
    async close() {
      for (const { file } of layers) await file.close();
    },
  };
}

function checkLinks(layers: readonly FileLayer[], { anyParent, warn }: ChainRules): void {
  const links = createLayers({ anyParent, warn });
  for (const [rank, { file, facts }] of layers.entries()) links.add(file.name, { chain: '', rank, by: 'number' }, facts);
  links.complete();
}

/** A run of the disk that lies at byte `at` of a file. */
interface FileRun extends Range {
  readonly file: ReadableFile;
  readonly at: number;
}

/** Memory for scattered sectors, used again by later reads. */
type Scratch = Uint8Array[];

async function readRange(layers: readonly FileLayer[], scratch: Scratch, into: Uint8Array, offset: number): Promise<void> {
  const runs = await resolve(layers, { offset, length: into.length });
  if (runs.reduce((sum, { length }) => sum + length, 0) < into.length) into.fill(0);
  const bytesOf = (run: Range): Uint8Array => into.subarray(run.offset - offset, run.offset - offset + run.length);
  await eachInParallel(joined(runs), READERS, (span) => named(span.file, readSpan(span, scratch, bytesOf)));
}

/** Reads of files in flight for one read of the disk. */
const READERS = 4;

/** Where each sector comes from. What is in no run reads as zero. */
async function resolve(layers: readonly FileLayer[], range: Range): Promise<FileRun[]> {
  const found: FileRun[] = [];
  let absent: Range[] = [range];
  for (const { file, facts, runs } of layers) {
    const below: Range[] = [];
    for (const { offset, length, at } of await named(file, runs([...clipped(absent, facts.virtualSize)]))) {
      if (at === undefined) addAbsent(below, { offset, length });
      else addFound(found, { offset, length, file, at });
    }
    absent = below;
  }
  return found;
}

/** Sets the file on the errors of `work`. */
const named = <T>({ name }: ReadableFile, work: Promise<T>): Promise<T> =>
  work.catch((error: unknown) => Promise.reject(inMember(name, error)));

/** Joins a run with the last one if it continues it: layers may have blocks of different sizes. */
function addAbsent(runs: Range[], { offset, length }: Range): void {
  const last = runs.at(-1);
  if (last !== undefined && last.offset + last.length === offset) {
    runs[runs.length - 1] = { offset: last.offset, length: last.length + length };
  } else runs.push({ offset, length });
}

function addFound(runs: FileRun[], run: FileRun): void {
  const last = runs.at(-1);
  if (last?.file === run.file && last.offset + last.length === run.offset && last.at + last.length === run.at) {
    runs[runs.length - 1] = { ...last, length: last.length + run.length };
  } else runs.push(run);
}

/** A part of a file that is read as a whole. */
interface Stretch {
  readonly file: ReadableFile;
  readonly at: number;
  readonly length: number;
  /** Ascending in the file. */
  readonly runs: FileRun[];
}

/** A second read costs more than reading this much for nothing. */
const MAX_GAP = 32 * KiB;
const MAX_SCATTERED = 256 * KiB;

/** Joins small runs that are near each other in their file. */
function joined(runs: readonly FileRun[]): Stretch[] {
  const spans: Stretch[] = [];
  for (const run of runs) {
    const { file, at, length } = run;
    const last = spans.at(-1);
    const gap = last?.file === file ? at - (last.at + last.length) : -1;
    if (last !== undefined && gap >= 0 && gap <= MAX_GAP && at + length - last.at <= MAX_SCATTERED) {
      last.runs.push(run);
      spans[spans.length - 1] = { ...last, length: at + length - last.at };
    } else spans.push({ file, at, length, runs: [run] });
  }
  return spans;
}

/** `bytesOf` is where a run goes. */
async function readSpan({ file, at, length, runs }: Stretch, scratch: Scratch, bytesOf: (run: Range) => Uint8Array): Promise<void> {
  const [first, ...others] = runs;
  if (first !== undefined && others.length === 0) return file.read(bytesOf(first), at);
  const buffer = scratch.pop() ?? new Uint8Array(MAX_SCATTERED);
  await file.read(buffer.subarray(0, length), at);
  for (const run of runs) bytesOf(run).set(buffer.subarray(run.at - at, run.at - at + run.length));
  scratch.push(buffer);
}

/** A fixed VHD is a file like a raw disk, whose holes read as zero. */
async function* dataUpTo(size: number, file: ReadableFile, signal: AbortSignal | undefined): AsyncGenerator<Range> {
  for await (const range of file.data(signal)) yield* clipped([range], size);
}

/** The blocks that any of the layers has: ascending and merged. */
async function* held(layers: readonly FileLayer[], signal: AbortSignal | undefined): AsyncGenerator<Range> {
  let size = Number.POSITIVE_INFINITY;
  let all: Iterable<Range> = [];
  for (const layer of layers) {
    // A layer ends the deeper ones where it ends.
    size = Math.min(size, layer.facts.virtualSize);
    all = union(all, clipped(layer.allocated(), size));
  }
  for (const range of all) {
    throwIfCancelled(signal);
    yield range;
  }
}

function* clipped(ranges: Iterable<Range>, size: number): Generator<Range> {
  for (const { offset, length } of ranges) if (offset < size) yield { offset, length: Math.min(length, size - offset) };
}

/** Of two ascending iterations. */
function* union(a: Iterable<Range>, b: Iterable<Range>): Generator<Range> {
  let last: Range | undefined;
  for (const range of ascending(a, b)) {
    if (last !== undefined && range.offset <= last.offset + last.length) {
      const end = Math.max(last.offset + last.length, range.offset + range.length);
      last = { offset: last.offset, length: end - last.offset };
    } else {
      if (last !== undefined) yield last;
      last = range;
    }
  }
  if (last !== undefined) yield last;
}

function* ascending(a: Iterable<Range>, b: Iterable<Range>): Generator<Range> {
  const [left, right] = [a[Symbol.iterator](), b[Symbol.iterator]()];
  let [x, y] = [left.next(), right.next()];
  while (!x.done || !y.done) {
    if (!x.done && (y.done || x.value.offset <= y.value.offset)) {
      yield x.value;
      x = left.next();
    } else if (!y.done) {
      yield y.value;
      y = right.next();
    }
  }
}
