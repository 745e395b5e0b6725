/**
 * The block allocation table (BAT): for each block of the disk a 32-bit big-endian sector number, at which the file has its bitmap and
 * then its data, or ffffffff if the block is absent. Padded to 512 bytes. Blocks are in any order.
 *
 *   bitmap bytes = ceil(block size / 512 / 8) rounded up to 512, so 512 for the usual 2 MiB
 */

import { roundUp, SECTOR, u32be } from '../bytes.ts';
import { type Cursor, truncated } from '../cursor.ts';
import { assert, type ErrorCode, VdiStreamError } from '../errors.ts';
import { FOOTER_SIZE, type Footer } from './footer.ts';
import { HEADER_SIZE, type Header } from './header.ts';

export const UNUSED = 0xffffffff;

export interface Bat {
  readonly bitmapBytes: number;
  /** Allocated blocks in file order. */
  readonly placed: Placed;
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
export function readBat(table: Uint8Array, footer: Footer, header: Header, end: number, fault: BlockFault = refuseBlock): Bat {
  const bitmapBytes = bitmapBytesOf(header);
  const placed = inFileOrder(table, header.blocks);
  const wrong = (code: ErrorCode, block: number, message: () => string): void =>
    fault(code, block, () => new VdiStreamError(code, message(), { offset: header.tableOffset + block * 4 }));

  const metadata = metadataParts(footer, header);
  let previousEnd = 0;
  let previousBlock = -1;
  for (let index = 0; index < placed.count; index++) {
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
  return {
    bitmapBytes,
    placed,
    has: (block) => u32be(table, block * 4) !== UNUSED,
    start: (block) => u32be(table, block * 4) * SECTOR,
  };
}

/**
 * Sorts by sector without allocating an object or a BigInt per block: each pair is a 64-bit number, with the sector as its high half and
 * the block as its low half.
 */
function inFileOrder(table: Uint8Array, blocks: number): Placed {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  let count = 0;
  for (let block = 0; block < blocks; block++) if (view.getUint32(block * 4) !== UNUSED) count++;

  const pairs = new BigUint64Array(count);
  const halves = new Uint32Array(pairs.buffer);
  assert(new Uint8Array(Uint16Array.of(1).buffer)[0] === 1, 'the layout of the pairs needs a little-endian machine');
  let at = 0;
  for (let block = 0; block < blocks; block++) {
    const sector = view.getUint32(block * 4);
    if (sector === UNUSED) continue;
    halves[at++] = block;
    halves[at++] = sector;
  }
  pairs.sort();
  return { count, block: (index) => halves[index * 2] ?? 0, sector: (index) => halves[index * 2 + 1] ?? 0 };
}
