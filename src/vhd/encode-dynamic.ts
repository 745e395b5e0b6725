/**
 * Encoding a dynamic VHD: a copy of the footer, header, BAT, the allocated blocks in the order of the disk, footer. Which blocks are
 * allocated is decided first, so every offset is known before the first byte.
 *
 *   align 512:   BAT at 1536, then bitmap, data, bitmap, data …
 *   align 4096:  BAT at 4096, data at multiples of 4096, each bitmap just before its data, zeros between them. As tapdisk lays blocks out
 */

import { isZero, roundUp, SECTOR } from '../bytes.ts';
import { bitAt, bitRuns, setBits } from '../disk/bits.ts';
import type { DiskFacts } from '../disk/disk.ts';
import type { Extent } from '../disk/extent.ts';
import { VdiStreamError } from '../errors.ts';
import { tableBytes, UNUSED } from './bat.ts';
import { markSectors, ZEROS, type ZeroScan, zeroBytes } from './encoded.ts';
import { FOOTER_SIZE } from './footer.ts';
import { HEADER_SIZE, MAX_BLOCKS } from './header.ts';

/** Where the parts of a new VHD lie. Offsets and sizes in bytes. */
interface DynamicLayout {
  readonly virtualSize: number;
  readonly blockSize: number;
  readonly blocks: number;
  /** Allocated blocks. */
  readonly count: number;
  isAllocated(block: number): boolean;
  readonly tableOffset: number;
  /** The bitmap of the first allocated block, and from one bitmap to the next. */
  readonly firstBitmap: number;
  readonly stride: number;
  readonly length: number;
}

/** The bitmap of a block of 4 KiB to 2 MiB. */
const BITMAP_SIZE = SECTOR;

/** A block is allocated if any part of it is. Throws EXPORT_SIZE. */
export function dynamicLayout(disk: Pick<DiskFacts, 'virtualSize' | 'allocated'>, blockSize: number, align: number): DynamicLayout {
  const { virtualSize } = disk;
  const blocks = Math.ceil(virtualSize / blockSize);
  if (blocks > MAX_BLOCKS) {
    throw new VdiStreamError('EXPORT_SIZE', `the disk has ${blocks} blocks of ${blockSize} bytes, but at most ${MAX_BLOCKS} are supported`);
  }
  const map = new Uint8Array(Math.ceil(blocks / 8));
  for (const { offset, length } of disk.allocated()) {
    setBits(map, Math.floor(offset / blockSize), Math.ceil((offset + length) / blockSize), true);
  }
  let count = 0;
  for (const { start, end, set } of bitRuns(map, 0, blocks)) if (set) count += end - start;

  const tableOffset = roundUp(FOOTER_SIZE + HEADER_SIZE, align);
  const tableEnd = tableOffset + tableBytes(blocks);
  const firstBitmap = roundUp(tableEnd + BITMAP_SIZE, align) - BITMAP_SIZE;
  const stride = roundUp(BITMAP_SIZE + blockSize, align);
  const last = firstBitmap + (count - 1) * stride;
  if (last / SECTOR >= UNUSED) {
    throw new VdiStreamError('EXPORT_SIZE', `the last of ${count} blocks would begin at byte ${last}, past the reach of a BAT entry`);
  }
  const end = count === 0 ? tableEnd : last + BITMAP_SIZE + blockSize;
  const isAllocated = (block: number): boolean => bitAt(map, block);
  return { virtualSize, blockSize, blocks, count, isAllocated, tableOffset, firstBitmap, stride, length: end + FOOTER_SIZE };
}

/** Entries in a chunk of the BAT, 64 KiB. */
const CHUNK_ENTRIES = 16_384;

/** Everything before the first bitmap. */
export function* frontBytes(layout: DynamicLayout, footer: Uint8Array, header: Uint8Array): Generator<Uint8Array, void, void> {
  const { blocks, isAllocated, tableOffset, firstBitmap, stride } = layout;
  yield Buffer.concat([footer, header, new Uint8Array(tableOffset - footer.length - header.length)]);
  let bitmapAt = firstBitmap;
  for (let first = 0; first < blocks; first += CHUNK_ENTRIES) {
    const entries = Math.min(CHUNK_ENTRIES, blocks - first);
    const chunk = Buffer.alloc(tableBytes(entries), 0xff);
    for (let entry = 0; entry < entries; entry++) {
      if (!isAllocated(first + entry)) continue;
      chunk.writeUInt32BE(bitmapAt / SECTOR, entry * 4);
      bitmapAt += stride;
    }
    yield chunk;
  }
  if (layout.count > 0) yield* zeroBytes(firstBitmap - tableOffset - tableBytes(blocks));
}

/** The part of an extent that lies in one block. */
interface BlockPart {
  readonly block: number;
  /** Bytes from the start of the block. */
  readonly from: number;
  readonly length: number;
  /** Undefined if all are zero. */
  readonly bytes: Uint8Array | undefined;
}

function* partsOf(extent: Extent, blockSize: number): Generator<BlockPart, void, void> {
  const end = extent.offset + extent.length;
  for (let at = extent.offset; at < end; ) {
    const block = Math.floor(at / blockSize);
    const from = at - block * blockSize;
    const length = Math.min(end - at, blockSize - from);
    const start = at - extent.offset;
    yield { block, from, length, bytes: extent.kind === 'data' ? extent.bytes.subarray(start, start + length) : undefined };
    at += length;
  }
}

/** Bitmaps and data of the allocated blocks. `extents` as `readyExtents` yields them. Throws EXPORT_CHANGED. */
export async function* blockBytes(
  layout: DynamicLayout,
  extents: AsyncIterable<Extent>,
  scan: ZeroScan,
): AsyncGenerator<Uint8Array, void, void> {
  const { virtualSize, blockSize, stride } = layout;
  const gap = stride - BITMAP_SIZE - blockSize;
  const lead = new Uint8Array(gap + BITMAP_SIZE);
  const bitmap = lead.subarray(gap);
  const collect = collector(blockSize);
  let isFirst = true;
  for await (const extent of extents) {
    for (const part of partsOf(extent, blockSize)) {
      if (!layout.isAllocated(part.block)) {
        refuseData(part, blockSize, scan);
        continue;
      }
      const data = collect(part, Math.min(blockSize, virtualSize - part.block * blockSize));
      if (data === undefined) continue;
      markSectors(bitmap, data, scan);
      // Blocks without a set bit are what a copy leaves that was stopped: a sector of zeros is present too.
      if (isZero(bitmap)) bitmap[0] = 0x80;
      yield isFirst ? bitmap : lead;
      isFirst = false;
      yield data;
      yield* zeroBytes(blockSize - data.length);
    }
  }
}

/**
 * Returns the bytes of a block with its last part. A block in one extent is not copied. Other blocks are collected in memory of their own:
 * if their extents were kept, they could hold all buffers of the pool, and reading would wait forever.
 */
function collector(blockSize: number): (part: BlockPart, needed: number) => Uint8Array | undefined {
  let memory: Uint8Array | undefined;
  return ({ from, length, bytes }, needed) => {
    if (length === needed) return bytes ?? ZEROS.subarray(0, needed);
    memory ??= new Uint8Array(blockSize);
    if (bytes === undefined) memory.fill(0, from, from + length);
    else memory.set(bytes, from);
    return from + length === needed ? memory.subarray(0, needed) : undefined;
  };
}

/** There is no place for data in a block that is not allocated. */
function refuseData({ block, from, bytes }: BlockPart, blockSize: number, scan: ZeroScan): void {
  const found = bytes === undefined ? -1 : scan.firstNonZero(bytes);
  if (found < 0) return;
  const offset = block * blockSize + from + found;
  throw new VdiStreamError('EXPORT_CHANGED', `byte ${offset} of the disk was zero when the export began, but is not any more`, { offset });
}
