/**
 * A dynamic or differencing VHD: footer copy, header, BAT, then blocks in any order, each a sector bitmap and its data, then
 * the footer.
 */

import { SECTOR } from '../bytes.ts';
import { type Cursor, truncated } from '../cursor.ts';
import type { Warn } from '../errors.ts';
import type { Buffers, Disk, EmptyExtent, Extent, Range, Wanted } from '../extent.ts';
import { type Bat, neededBytes, readBat } from './bat.ts';
import { readBatmap } from './batmap.ts';
import { bitRuns, clearAbsent } from './bitmap.ts';
import { byBitmap, type Read } from './differencing.ts';
import { checkEnd, readEnd } from './end.ts';
import { type Footer, identityOf, warnOfFooter } from './footer.ts';
import { HEADER_SIZE, type Header, headerOffset, parseHeader } from './header.ts';
import { pieces, settleStream } from './pieces.ts';
import type { SectorRun } from './sectors.ts';

/** Reads the metadata; the cursor stands behind the footer copy, of which `footer` is the reading. */
export async function dynamicDisk(cursor: Cursor, footer: Footer, warn: Warn): Promise<Disk> {
  await cursor.moveTo(headerOffset(footer));
  const header = parseHeader(await cursor.read(HEADER_SIZE), footer);
  if (cursor.length !== undefined && header.tableOffset + header.blocks * 4 > cursor.length) throw truncated(cursor.length);
  await cursor.moveTo(header.tableOffset);
  const table = new Uint8Array(header.blocks * 4); // at most 16 MiB, by MAX_BLOCKS
  await cursor.fill(table);
  const bat = readBat(table, footer, header, cursor.length);
  await readBatmap(cursor, footer, header, bat.placed.count > 0 ? bat.placed.sector(0) * SECTOR : Number.POSITIVE_INFINITY);
  warnOfFooter(footer, warn);
  const differencing = footer.type === 'differencing';

  async function finish(): Promise<void> {
    const found = await readEnd(cursor);
    checkEnd(found.bytes, found.offset, footer, warn);
  }

  return {
    type: differencing ? 'differencing' : 'dynamic',
    virtualSize: footer.virtualSize,
    blockSize: header.blockSize,
    identity: identityOf(footer),
    parent: header.parent,
    allocatedBytes: allocatedBytes(footer, header, bat),
    allocated: () => ranges(footer, header, (block) => bat.has(block)),
    skip: finish,
    async *extents(buffers, signal, wanted) {
      const found = blocks(buffers, signal, wanted);
      yield* differencing ? byBitmap(found) : whole(found);
      await finish();
    },
  };

  /** The blocks in file order, and the holes between them in the order in which their ends are met. */
  async function* blocks(buffers: Buffers, signal: AbortSignal | undefined, wanted: Wanted = () => true): AsyncGenerator<Read> {
    const want = (index: number): boolean => {
      const block = bat.placed.block(index);
      return wanted(block * header.blockSize, neededBytes(block, footer, header));
    };
    for (let index = 0; index < bat.placed.count; ) {
      const first = bat.placed.block(index);
      for (const extent of holesBefore(first, header, bat)) yield { extent };
      if (!want(index)) {
        yield { extent: { kind: 'hole', offset: first * header.blockSize, length: neededBytes(first, footer, header) } };
        index++;
        continue;
      }
      const most = Math.min(MAX_RUN, Math.floor(buffers.size / header.blockSize));
      const count = most === 0 ? 1 : runLength(bat, header, index, most, want);
      if (most === 0) yield* largeBlock(index, buffers, signal);
      else yield await run(index, count, buffers, signal);
      index += count;
    }
    for (const extent of holesBefore(header.blocks, header, bat, footer.virtualSize)) yield { extent };
  }

  /** A block that is larger than a buffer, in pieces. */
  async function* largeBlock(index: number, buffers: Buffers, signal: AbortSignal | undefined): AsyncGenerator<Read> {
    const block = bat.placed.block(index);
    await cursor.moveTo(bat.placed.sector(index) * SECTOR);
    const bitmap = new Uint8Array(bat.bitmapBytes);
    const clear = (bytes: Uint8Array, from: number): void => clearAbsent(bytes, bitmap, from / SECTOR);
    const start = block * header.blockSize;
    const needed = neededBytes(block, footer, header);
    for await (const extent of pieces(cursor, start, needed, buffers, signal, bitmap, differencing ? undefined : clear)) {
      const { offset, length } = extent;
      yield { extent, present: () => presence(bitmap, start, offset - start, length) };
    }
  }

  /**
   * `count` blocks that follow one another in the file and on the disk, as one extent: one read, bitmaps and data to their
   * places, and one write. Half as many hops between threads for 2 MiB blocks, and large writes even for small blocks.
   */
  async function run(index: number, count: number, buffers: Buffers, signal: AbortSignal | undefined): Promise<Read> {
    await cursor.moveTo(bat.placed.sector(index) * SECTOR);
    const lease = await buffers.acquire(signal);
    const bitmaps = new Uint8Array(count * bat.bitmapBytes);
    const parts: Uint8Array[] = [];
    const inside: { readonly bitmap: Uint8Array; readonly data: Uint8Array }[] = [];
    let length = 0;
    for (let i = index; i < index + count; i++) {
      if (i > index) parts.push(new Uint8Array(gapBefore(bat, header, i)));
      const bitmap = bitmaps.subarray((i - index) * bat.bitmapBytes, (i - index + 1) * bat.bitmapBytes);
      const data = lease.bytes.subarray(length, length + neededBytes(bat.placed.block(i), footer, header));
      length += data.length;
      parts.push(bitmap, data);
      inside.push({ bitmap, data });
    }
    const filled = cursor.fill(...parts);
    const clear = (): void => {
      for (const { bitmap, data } of inside) clearAbsent(data, bitmap, 0);
    };
    const ready = differencing ? filled : filled.then(clear);
    await settleStream(cursor, ready, lease);
    const offset = bat.placed.block(index) * header.blockSize;
    return {
      extent: { kind: 'data', offset, length, bytes: lease.bytes.subarray(0, length), ready, release: () => lease.release() },
      *present() {
        for (const [at, { bitmap, data }] of inside.entries()) yield* presence(bitmap, offset + at * header.blockSize, 0, data.length);
      },
    };
  }
}

/** `length` bytes from byte `from` of a block that begins at byte `start` of the disk, by its bitmap. */
function* presence(bitmap: Uint8Array, start: number, from: number, length: number): Generator<SectorRun> {
  for (const { start: first, end, set } of bitRuns(bitmap, from / SECTOR, length / SECTOR))
    yield { offset: start + first * SECTOR, length: (end - first) * SECTOR, inside: set };
}

/** A dynamic disk: its blocks as they are. */
async function* whole(reads: AsyncGenerator<Read>): AsyncGenerator<Extent> {
  for await (const { extent } of reads) yield extent;
}

/** A bound on what a run of tiny blocks needs besides its buffer. */
const MAX_RUN = 64;

/** Producers leave up to seven sectors free, so that data begins at a page; that much is read along rather than jumped over. */
const MAX_GAP = 8 * SECTOR;

/** Bytes in the file between the end of the block before `index` and it. */
const gapBefore = ({ placed, bitmapBytes }: Bat, header: Header, index: number): number =>
  placed.sector(index) * SECTOR - (placed.sector(index - 1) * SECTOR + bitmapBytes + header.blockSize);

/** How many blocks from `index` on follow one another in the file and on the disk; at least 1, at most `most`. */
function runLength(bat: Bat, header: Header, index: number, most: number, want: (index: number) => boolean): number {
  const { placed } = bat;
  let count = 1;
  while (count < most && index + count < placed.count) {
    const next = index + count;
    if (placed.block(next) !== placed.block(next - 1) + 1 || gapBefore(bat, header, next) > MAX_GAP || !want(next)) break;
    count++;
  }
  return count;
}

/** The run of absent blocks that ends right before `block`, as one hole. Every hole has just one block behind it. */
function* holesBefore(block: number, header: Header, bat: Bat, stop = block * header.blockSize): Generator<EmptyExtent> {
  let first = block;
  while (first > 0 && !bat.has(first - 1)) first--;
  const offset = first * header.blockSize;
  if (offset < stop) yield { kind: 'hole', offset, length: stop - offset };
}

function allocatedBytes(footer: Footer, header: Header, bat: Bat): number {
  const last = header.blocks - 1;
  const missing = header.blockSize - neededBytes(last, footer, header);
  return bat.placed.count * header.blockSize - (bat.has(last) ? missing : 0);
}

function* ranges(footer: Footer, header: Header, has: (block: number) => boolean): Generator<Range> {
  let start = -1;
  for (let block = 0; block <= header.blocks; block++) {
    const allocated = block < header.blocks && has(block);
    if (allocated && start < 0) start = block;
    if (!allocated && start >= 0) {
      const end = Math.min(block * header.blockSize, footer.virtualSize);
      yield { offset: start * header.blockSize, length: end - start * header.blockSize };
      start = -1;
    }
  }
}
