/** A dynamic VHD: footer copy, header, BAT, then blocks in any order, each a sector bitmap and its data, then the footer. */

import { SECTOR } from '../bytes.ts';
import { type Cursor, truncated } from '../cursor.ts';
import { VdiStreamError, type Warn } from '../errors.ts';
import type { Buffers, Disk, Extent, Range } from '../extent.ts';
import { type Bat, neededBytes, readBat } from './bat.ts';
import { clearAbsent } from './bitmap.ts';
import { checkEnd, readEnd } from './end.ts';
import { type Footer, warnOfFooter } from './footer.ts';
import { HEADER_SIZE, type Header, headerOffset, parseHeader } from './header.ts';
import { pieces, settleStream } from './pieces.ts';

/** Reads the metadata; the cursor stands behind the footer copy, of which `footer` is the reading. */
export async function dynamicDisk(cursor: Cursor, footer: Footer, warn: Warn): Promise<Disk> {
  await cursor.moveTo(headerOffset(footer));
  const header = parseHeader(await cursor.read(HEADER_SIZE), footer);
  if (footer.type === 'differencing') {
    throw new VdiStreamError('VHD_DIFFERENCING', 'this is a differencing VHD, the upper part of a chain; alone it is no disk', {
      offset: 60,
    });
  }
  if (cursor.length !== undefined && header.tableOffset + header.blocks * 4 > cursor.length) throw truncated(cursor.length);
  await cursor.moveTo(header.tableOffset);
  const table = new Uint8Array(header.blocks * 4); // at most 16 MiB, by MAX_BLOCKS
  await cursor.fill(table);
  const bat = readBat(table, footer, header, cursor.length);
  warnOfFooter(footer, warn);

  async function finish(): Promise<void> {
    const found = await readEnd(cursor);
    checkEnd(found.bytes, found.offset, footer, warn);
  }

  return {
    type: 'dynamic',
    virtualSize: footer.virtualSize,
    blockSize: header.blockSize,
    creator: footer.creator,
    allocatedBytes: allocatedBytes(footer, header, bat),
    allocated: () => ranges(footer, header, (block) => bat.has(block)),
    skip: finish,
    async *extents(buffers, signal) {
      for (let index = 0; index < bat.placed.count; ) {
        const first = bat.placed.block(index);
        yield* holesBefore(first, header, bat);
        const count =
          header.blockSize > buffers.size
            ? 1
            : runLength(bat, header, index, Math.min(MAX_RUN, Math.floor(buffers.size / header.blockSize)));
        if (header.blockSize > buffers.size) yield* largeBlock(index, buffers, signal);
        else yield await run(index, count, buffers, signal);
        index += count;
      }
      yield* holesBefore(header.blocks, header, bat, footer.virtualSize);
      await finish();
    },
  };

  /** A block that is larger than a buffer, in pieces. */
  async function* largeBlock(index: number, buffers: Buffers, signal: AbortSignal | undefined): AsyncGenerator<Extent> {
    const block = bat.placed.block(index);
    await cursor.moveTo(bat.placed.sector(index) * SECTOR);
    const bitmap = new Uint8Array(bat.bitmapBytes);
    const clear = (bytes: Uint8Array, from: number): void => clearAbsent(bytes, bitmap, from / SECTOR);
    yield* pieces(cursor, block * header.blockSize, neededBytes(block, footer, header), buffers, signal, bitmap, clear);
  }

  /**
   * `count` blocks that follow one another in the file and on the disk, as one extent: one read, bitmaps and data to their
   * places, and one write. Half as many hops between threads for 2 MiB blocks, and large writes even for small blocks.
   */
  async function run(index: number, count: number, buffers: Buffers, signal: AbortSignal | undefined): Promise<Extent> {
    await cursor.moveTo(bat.placed.sector(index) * SECTOR);
    const lease = await buffers.acquire(signal);
    const bitmaps = new Uint8Array(count * bat.bitmapBytes);
    const parts: Uint8Array[] = [];
    const blocks: { readonly bitmap: Uint8Array; readonly data: Uint8Array }[] = [];
    let length = 0;
    for (let i = index; i < index + count; i++) {
      if (i > index) parts.push(new Uint8Array(gapBefore(bat, header, i)));
      const bitmap = bitmaps.subarray((i - index) * bat.bitmapBytes, (i - index + 1) * bat.bitmapBytes);
      const data = lease.bytes.subarray(length, length + neededBytes(bat.placed.block(i), footer, header));
      length += data.length;
      parts.push(bitmap, data);
      blocks.push({ bitmap, data });
    }
    const ready = cursor.fill(...parts).then(() => {
      for (const { bitmap, data } of blocks) clearAbsent(data, bitmap, 0);
    });
    await settleStream(cursor, ready, lease);
    const offset = bat.placed.block(index) * header.blockSize;
    return { kind: 'data', offset, length, bytes: lease.bytes.subarray(0, length), ready, release: () => lease.release() };
  }
}

/** A bound on what a run of tiny blocks needs besides its buffer. */
const MAX_RUN = 64;

/** Producers leave up to seven sectors free, so that data begins at a page; that much is read along rather than jumped over. */
const MAX_GAP = 8 * SECTOR;

/** Bytes in the file between the end of the block before `index` and it. */
const gapBefore = ({ placed, bitmapBytes }: Bat, header: Header, index: number): number =>
  placed.sector(index) * SECTOR - (placed.sector(index - 1) * SECTOR + bitmapBytes + header.blockSize);

/** How many blocks from `index` on follow one another in the file and on the disk; at least 1, at most `most`. */
function runLength(bat: Bat, header: Header, index: number, most: number): number {
  const { placed } = bat;
  let count = 1;
  while (count < most && index + count < placed.count) {
    const next = index + count;
    if (placed.block(next) !== placed.block(next - 1) + 1 || gapBefore(bat, header, next) > MAX_GAP) break;
    count++;
  }
  return count;
}

/** The run of absent blocks that ends right before `block`, as one hole. Every hole has just one block behind it. */
function* holesBefore(block: number, header: Header, bat: Bat, stop = block * header.blockSize): Generator<Extent> {
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
