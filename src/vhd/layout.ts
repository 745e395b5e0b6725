/**
 * Layout: where the blocks of a dynamic or differencing VHD are, in the file and on the disk. An index counts the allocated blocks in
 * file order; a block number is the position in the BAT, and so on the disk.
 */

import { SECTOR } from '../bytes.ts';
import type { Range } from '../disk/disk.ts';
import type { EmptyExtent } from '../disk/extent.ts';
import { type Bat, neededBytes } from './bat.ts';
import type { Footer } from './footer.ts';
import type { Header } from './header.ts';

export interface Layout {
  /** Bytes. */
  readonly blockSize: number;
  readonly bitmapBytes: number;
  /** Whether a sector with a clear bit reads as the parent's. */
  readonly differencing: boolean;
  /** Allocated blocks. */
  readonly count: number;
  /** The range of the disk that a block covers; shorter for a last block that extends past the end of the disk. */
  range(index: number): Range;
  /** Byte offset in the file of a block's bitmap, and of its data. */
  bitmapAt(index: number): number;
  dataAt(index: number): number;
  /** Bytes of the file between a block and the one before it. */
  gapBefore(index: number): number;
  /** Whether a block follows the previous one in the file on the disk too. */
  isNext(index: number): boolean;
  /** The run of absent blocks that ends at a block, or, for `count`, at the end of the disk. So each run is returned once. */
  holesBefore(index: number): readonly EmptyExtent[];
}

const NO_HOLES: readonly EmptyExtent[] = [];

export function layoutOf(footer: Footer, header: Header, { placed, bitmapBytes, has }: Bat): Layout {
  const { blockSize, blocks } = header;
  const bitmapAt = (index: number): number => placed.sector(index) * SECTOR;
  const dataAt = (index: number): number => bitmapAt(index) + bitmapBytes;

  return {
    blockSize,
    bitmapBytes,
    differencing: footer.type === 'differencing',
    count: placed.count,
    range(index) {
      const block = placed.block(index);
      return { offset: block * blockSize, length: neededBytes(block, footer, header) };
    },
    bitmapAt,
    dataAt,
    gapBefore: (index) => bitmapAt(index) - (dataAt(index - 1) + blockSize),
    isNext: (index) => index < placed.count && placed.block(index) === placed.block(index - 1) + 1,
    holesBefore(index) {
      const end = index < placed.count ? placed.block(index) : blocks;
      const stop = index < placed.count ? end * blockSize : footer.virtualSize;
      let first = end;
      while (first > 0 && !has(first - 1)) first--;
      const offset = first * blockSize;
      return offset < stop ? [{ kind: 'hole', offset, length: stop - offset }] : NO_HOLES;
    },
  };
}
