/** Reading the blocks of a dynamic or differencing VHD, in file order: as many at once, and as little of each, as is of use. */

import { KiB, SECTOR } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { bitRuns } from '../disk/bits.ts';
import type { Buffers, EmptyExtent, Range, Wanted } from '../disk/extent.ts';
import { pieces, settleStream } from '../disk/pieces.ts';
import type { SectorRun } from '../disk/sectors.ts';
import { type Bat, neededBytes } from './bat.ts';
import { clearAbsent } from './bitmap.ts';
import type { Footer } from './footer.ts';
import type { Header } from './header.ts';
import type { Read } from './presence.ts';

export interface Layout {
  readonly cursor: Cursor;
  readonly footer: Footer;
  readonly header: Header;
  readonly bat: Bat;
  readonly differencing: boolean;
}

/** A bound on what a run of tiny blocks needs besides its buffer. */
const MAX_RUN = 64;
/** Producers leave up to seven sectors free, so that data begins at a page; that much is read along rather than jumped over. */
const MAX_GAP = 8 * SECTOR;
/** What is not of use inside a block is read along up to here: a read of its own costs more. */
const MAX_UNWANTED = 128 * KiB;
/** Bitmaps that are read in advance, where the file can be jumped through; 32 KiB of them for the usual blocks. */
const BITMAPS_AHEAD = 64;

/** The blocks, and the holes between them in the order in which their ends are met. */
export async function* readBlocks(
  layout: Layout,
  buffers: Buffers,
  signal: AbortSignal | undefined,
  wanted: Wanted | undefined,
): AsyncGenerator<Read> {
  const { cursor, footer, header, bat, differencing } = layout;
  const { blockSize } = header;
  const needed = (index: number): number => neededBytes(bat.placed.block(index), footer, header);
  const dataAt = (index: number): number => bat.placed.sector(index) * SECTOR + bat.bitmapBytes;
  // Only then is it known before a block is read what of it is of use.
  const early = cursor.seekable && blockSize <= buffers.size && bat.bitmapBytes <= 4 * KiB && (differencing || wanted !== undefined);
  // Where gaps are read to; nobody looks at it.
  const nowhere = new Uint8Array(MAX_GAP);
  const bitmaps = early && differencing ? bitmapsAhead(layout) : undefined;

  /** What of a block is of use; undefined where that is all of it, or is not known yet. */
  async function useOf(index: number): Promise<readonly Range[] | undefined> {
    const block = bat.placed.block(index);
    const all: Range = { offset: block * blockSize, length: needed(index) };
    let use: readonly Range[] = wanted === undefined ? [all] : wanted(all.offset, all.length);
    if (use.length === 0 || !early) return use.length === 0 ? use : undefined;
    const bitmap = await bitmaps?.(index);
    if (bitmap !== undefined) use = use.flatMap((range) => present(bitmap, all.offset, range));
    return use.length === 1 && use[0]?.length === all.length ? undefined : use;
  }

  for (let index = 0; index < bat.placed.count; ) {
    const first = bat.placed.block(index);
    for (const extent of holesBefore(first, header, bat)) yield { extent };
    const use = await useOf(index);
    if (use !== undefined) {
      if (use.length === 0) yield { extent: { kind: 'hole', offset: first * blockSize, length: needed(index) } };
      else yield await someOf(index, use);
      index++;
      continue;
    }
    const most = Math.min(MAX_RUN, Math.floor(buffers.size / blockSize));
    if (most === 0) {
      yield* largeBlock(index);
      index++;
      continue;
    }
    let count = 1;
    while (count < most && follows(index + count) && (await useOf(index + count)) === undefined) count++;
    yield await run(index, count);
    index += count;
  }
  for (const extent of holesBefore(header.blocks, header, bat, footer.virtualSize)) yield { extent };

  /** Bytes in the file between the end of the block before `index` and it. */
  function gapBefore(index: number): number {
    return dataAt(index) - bat.bitmapBytes - (dataAt(index - 1) + blockSize);
  }

  /** Whether a block stands behind the one before it in the file and on the disk. */
  function follows(index: number): boolean {
    const { placed } = bat;
    return index < placed.count && placed.block(index) === placed.block(index - 1) + 1 && gapBefore(index) <= MAX_GAP;
  }

  /** A block that is larger than a buffer, in pieces. */
  async function* largeBlock(index: number): AsyncGenerator<Read> {
    await cursor.moveTo(dataAt(index) - bat.bitmapBytes);
    const bitmap = new Uint8Array(bat.bitmapBytes);
    const clear = (bytes: Uint8Array, from: number): void => clearAbsent(bytes, bitmap, from / SECTOR);
    const start = bat.placed.block(index) * blockSize;
    for await (const extent of pieces(cursor, start, needed(index), buffers, signal, bitmap, differencing ? undefined : clear)) {
      const { offset, length } = extent;
      yield differencing ? { extent, present: () => runsOf(bitmap, start, offset - start, length) } : { extent };
    }
  }

  /**
   * `count` blocks that follow one another in the file and on the disk, as one extent: one read, bitmaps and data to their
   * places, and one write. Half as many hops between threads for 2 MiB blocks, and large writes even for small blocks.
   */
  async function run(index: number, count: number): Promise<Read> {
    await cursor.moveTo(dataAt(index) - bat.bitmapBytes);
    const lease = await buffers.acquire(signal);
    const bitmap = new Uint8Array(count * bat.bitmapBytes);
    const parts: Uint8Array[] = [];
    const inside: { readonly bitmap: Uint8Array; readonly data: Uint8Array }[] = [];
    let length = 0;
    for (let i = index; i < index + count; i++) {
      if (i > index) parts.push(nowhere.subarray(0, gapBefore(i)));
      const bits = bitmap.subarray((i - index) * bat.bitmapBytes, (i - index + 1) * bat.bitmapBytes);
      const data = lease.bytes.subarray(length, length + needed(i));
      length += data.length;
      parts.push(bits, data);
      inside.push({ bitmap: bits, data });
    }
    const filled = cursor.fill(...parts);
    const clear = (): void => {
      for (const { bitmap, data } of inside) clearAbsent(data, bitmap, 0);
    };
    const ready = differencing ? filled : filled.then(clear);
    await settleStream(cursor, ready, lease);
    const offset = bat.placed.block(index) * blockSize;
    const bytes = lease.bytes.subarray(0, length);
    const extent = { kind: 'data', offset, length, bytes, ready, release: () => lease.release() } as const;
    // Known to be full, where the bitmaps have been seen before.
    if (!differencing || early) return { extent };
    return {
      extent,
      *present() {
        for (const [at, { bitmap, data }] of inside.entries()) yield* runsOf(bitmap, offset + at * blockSize, 0, data.length);
      },
    };
  }

  /** The parts of a block that are of use, from a file that can be jumped through. */
  async function someOf(index: number, use: readonly Range[]): Promise<Read> {
    const lease = await buffers.acquire(signal);
    const offset = bat.placed.block(index) * blockSize;
    const bytes = lease.bytes.subarray(0, needed(index));
    const bitmap = new Uint8Array(bat.bitmapBytes);
    const reads: Promise<void>[] = [];
    const read = async (at: number, into: Uint8Array): Promise<void> => {
      await cursor.moveTo(at);
      reads.push(cursor.fill(into));
    };
    if (!differencing) await read(dataAt(index) - bat.bitmapBytes, bitmap);
    for (const { offset: from, length } of joined(use)) {
      await read(dataAt(index) + from - offset, bytes.subarray(from - offset, from - offset + length));
    }
    // All of them first: the buffer must not be given back while one still goes on.
    const ready = Promise.allSettled(reads).then((outcomes) => {
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
      if (!differencing) clearAbsent(bytes, bitmap, 0);
    });
    ready.catch(() => {}); // told to who waits for it
    const extent = { kind: 'data', offset, length: bytes.length, bytes, ready, release: () => lease.release() } as const;
    return { extent, present: () => covered(extent, use), known: true };
  }
}

/** Gives the bitmap of a block by its index; a few are read at a time. Indices come in order. */
function bitmapsAhead({ cursor, bat }: Layout): (index: number) => Promise<Uint8Array | undefined> {
  let first = 0;
  let some: readonly Uint8Array[] = [];
  return async (index) => {
    if (index >= first + some.length) {
      const { position } = cursor;
      first = index;
      const count = Math.min(BITMAPS_AHEAD, bat.placed.count - index);
      const together = new Uint8Array(count * bat.bitmapBytes);
      some = Array.from({ length: count }, (_, at) => together.subarray(at * bat.bitmapBytes, (at + 1) * bat.bitmapBytes));
      const reads: Promise<void>[] = [];
      for (const [at, bitmap] of some.entries()) {
        await cursor.moveTo(bat.placed.sector(first + at) * SECTOR);
        reads.push(cursor.fill(bitmap));
      }
      await Promise.all(reads);
      await cursor.moveTo(position);
    }
    return some[index - first];
  };
}

/** What of a range of the disk a block has, by its bitmap; the block begins at byte `start` of the disk. */
function present(bitmap: Uint8Array, start: number, { offset, length }: Range): Range[] {
  return [...runsOf(bitmap, start, offset - start, length)].filter(({ inside }) => inside);
}

/** `length` bytes from byte `from` of a block that begins at byte `start` of the disk, by its bitmap. */
function* runsOf(bitmap: Uint8Array, start: number, from: number, length: number): Generator<SectorRun> {
  for (const { start: first, end, set } of bitRuns(bitmap, from / SECTOR, length / SECTOR))
    yield { offset: start + first * SECTOR, length: (end - first) * SECTOR, inside: set };
}

/** Ranges with little between them, as one. */
function joined(ranges: readonly Range[]): Range[] {
  const joined: Range[] = [];
  for (const { offset, length } of ranges) {
    const last = joined.at(-1);
    if (last === undefined || offset - (last.offset + last.length) > MAX_UNWANTED) joined.push({ offset, length });
    else joined[joined.length - 1] = { offset: last.offset, length: offset + length - last.offset };
  }
  return joined;
}

/** The ranges inside, and what lies between them outside, so that both cover `all`. */
function* covered(all: Range, ranges: readonly Range[]): Generator<SectorRun> {
  let at = all.offset;
  for (const { offset, length } of [...ranges, { offset: all.offset + all.length, length: 0 }]) {
    if (offset > at) yield { offset: at, length: offset - at, inside: false };
    if (length > 0) yield { offset, length, inside: true };
    at = offset + length;
  }
}

/** The run of absent blocks that ends right before `block`, as one hole. Every hole has just one block behind it. */
function* holesBefore(block: number, header: Header, bat: Bat, stop = block * header.blockSize): Generator<EmptyExtent> {
  let first = block;
  while (first > 0 && !bat.has(first - 1)) first--;
  const offset = first * header.blockSize;
  if (offset < stop) yield { kind: 'hole', offset, length: stop - offset };
}
