/**
 * The block allocation table (BAT): for each block of the disk a 32-bit big-endian sector number, at which the file has its bitmap and
 * then its data, or ffffffff if the block is absent. Padded to 512 bytes. Blocks are in any order.
 *
 *   bitmap bytes = ceil(block size / 512 / 8) rounded up to 512, so 512 for the usual 2 MiB
 */

import { roundUp, SECTOR, u32be } from '../bytes.ts';
import { type Cursor, truncated } from '../cursor.ts';
import { bitAt, bitRuns, setBits } from '../disk/bits.ts';
import { type ErrorCode, VdiStreamError } from '../errors.ts';
import { inSlices } from '../slices.ts';
import { FOOTER_SIZE, type Footer } from './footer.ts';
import { HEADER_SIZE, type Header } from './header.ts';

export const UNUSED = 0xffffffff;

export interface Bat {
  readonly bitmapBytes: number;
  /** Allocated blocks in file order. */
  readonly placed: Placed;
  /** One bit per block of the disk. */
  readonly present: Uint8Array;
  readonly has: (block: number) => boolean;
  /** The byte at which a block begins in the file, with its bitmap. */
  readonly start: (block: number) => number;
}

/** The byte at which the first block in the file begins, ignoring those in `misplaced`; Infinity if there is none. */
export function firstByte({ placed }: Bat, misplaced?: ReadonlySet<number>): number {
  for (let index = 0; index < placed.count; index++) {
    if (misplaced?.has(placed.block(index)) !== true) return placed.sector(index) * SECTOR;
  }
  return Number.POSITIVE_INFINITY;
}

/** Block numbers and their sectors, in file order. */
interface Placed {
  readonly count: number;
  block(index: number): number;
  sector(index: number): number;
}

export const tableBytes = (entries: number): number => roundUp(entries * 4, SECTOR);

/** Bytes of a block that the disk needs: the whole block, except for a last block that extends past the end of the disk. */
export const neededBytes = (block: number, footer: Footer, header: Header): number =>
  Math.min(header.blockSize, footer.virtualSize - block * header.blockSize);

export const bitmapBytesOf = ({ blockSize }: Header): number => roundUp(Math.ceil(blockSize / SECTOR / 8), SECTOR);

/** What a block must not overlap. */
export const metadataParts = (
  footer: Footer,
  header: Header,
): readonly { readonly name: string; readonly start: number; readonly end: number }[] => [
  { name: 'footer', start: 0, end: FOOTER_SIZE },
  { name: 'header', start: footer.dataOffset, end: footer.dataOffset + HEADER_SIZE },
  { name: 'BAT', start: header.tableOffset, end: header.tableOffset + tableBytes(header.tableEntries) },
];

/** Reads the entries that the disk needs, at most 16 MiB (see MAX_BLOCKS). Throws SOURCE_TRUNCATED. */
export async function readTable(cursor: Cursor, header: Header): Promise<Uint8Array> {
  if (cursor.length !== undefined && header.tableOffset + header.blocks * 4 > cursor.length) throw truncated(cursor.length);
  await cursor.moveTo(header.tableOffset);
  return cursor.read(header.blocks * 4);
}

/** Handles a misplaced block. Takes a function, since a hostile table can have a million of them. */
type BlockFault = (code: ErrorCode, block: number, error: () => VdiStreamError) => void;

const refuseBlock: BlockFault = (_code, _block, error) => {
  throw error();
};

/**
 * Checks the table and sorts it into file order. `table` has at least `header.blocks` entries; `end` is the byte at which the last block
 * must have ended: that of the footer at the end, if that could be read first. Passes VHD_BLOCK_METADATA, VHD_BLOCK_OVERLAP and VHD_BLOCK_RANGE to `fault`, which throws them by default.
 */
export async function readBat(
  table: Uint8Array,
  footer: Footer,
  header: Header,
  end: number,
  fault: BlockFault = refuseBlock,
): Promise<Bat> {
  const bitmapBytes = bitmapBytesOf(header);
  const present = await presentBlocks(table, header.blocks);
  const placed = await inFileOrder(table, header.blocks, present);
  const wrong = (code: ErrorCode, block: number, message: () => string): void =>
    fault(code, block, () => new VdiStreamError(code, message(), { offset: header.tableOffset + block * 4 }));

  const metadata = metadataParts(footer, header);
  let previousEnd = 0;
  let previousBlock = -1;
  function judge(index: number): void {
    const block = placed.block(index);
    const start = placed.sector(index) * SECTOR;
    const stop = start + bitmapBytes + neededBytes(block, footer, header);
    for (const part of metadata) {
      if (start < part.end && stop > part.start) {
        wrong('VHD_BLOCK_METADATA', block, () => `block ${block}, at byte ${start}, overlaps the ${part.name}`);
      }
    }
    if (start < previousEnd) {
      const other = previousBlock;
      wrong('VHD_BLOCK_OVERLAP', block, () => `block ${block}, at byte ${start}, overlaps block ${other}`);
    }
    if (stop > end) {
      wrong('VHD_BLOCK_RANGE', block, () => `block ${block} would end at byte ${stop}, but the VHD ends at byte ${end}`);
    }
    previousEnd = stop;
    previousBlock = block;
  }
  await inSlices(placed.count, (from, to) => {
    for (let index = from; index < to; index++) judge(index);
  });
  return {
    bitmapBytes,
    placed,
    present,
    has: (block) => bitAt(present, block),
    start: (block) => u32be(table, block * 4) * SECTOR,
  };
}

async function presentBlocks(table: Uint8Array, blocks: number): Promise<Uint8Array> {
  const present = new Uint8Array(Math.ceil(blocks / 8));
  await inSlices(blocks, (from, to) => {
    for (let block = from; block < to; block++) if (u32be(table, block * 4) !== UNUSED) setBits(present, block, block + 1, true);
  });
  return present;
}

/** A radix sort: unlike a sort of the engine it can be done in turns. Blocks in the same place stay in the order of the disk. */
async function inFileOrder(table: Uint8Array, blocks: number, present: Uint8Array): Promise<Placed> {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const sectorOf = (block: number): number => view.getUint32(block * 4);
  let count = 0;
  for (const { start, end, set } of bitRuns(present, 0, blocks)) if (set) count += end - start;

  let order = new Uint32Array(count);
  let at = 0;
  let last = 0;
  let isSorted = true;
  await inSlices(blocks, (from, to) => {
    for (let block = from; block < to; block++) {
      if (!bitAt(present, block)) continue;
      const sector = sectorOf(block);
      order[at++] = block;
      isSorted &&= sector >= last;
      last = sector;
    }
  });
  if (!isSorted) for (const shift of [0, 16]) order = await sortedBy(order, (block) => (sectorOf(block) >>> shift) & 0xffff);
  return { count, block: (index) => order[index] ?? 0, sector: (index) => sectorOf(order[index] ?? 0) };
}

/** Sorted by 16 bits; what has the same bits stays in its order. */
async function sortedBy(items: Uint32Array<ArrayBuffer>, keyOf: (item: number) => number): Promise<Uint32Array<ArrayBuffer>> {
  const starts = new Uint32Array(0x10001);
  const sorted = new Uint32Array(items.length);
  await inSlices(items.length, (from, to) => {
    for (const item of items.subarray(from, to)) starts[keyOf(item) + 1] = (starts[keyOf(item) + 1] ?? 0) + 1;
  });
  for (let key = 1; key < starts.length; key++) starts[key] = (starts[key] ?? 0) + (starts[key - 1] ?? 0);
  await inSlices(items.length, (from, to) => {
    for (const item of items.subarray(from, to)) {
      const place = starts[keyOf(item)] ?? 0;
      sorted[place] = item;
      starts[keyOf(item)] = place + 1;
    }
  });
  return sorted;
}
