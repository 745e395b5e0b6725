/**
 * Layout: where the blocks of a dynamic or differencing VHD stand, in the file and on the disk. An index counts the allocated blocks in
 * file order; a number is the block's place in the table, and so on the disk.
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
  /** A clear bit lets the parent's sector show. */
  readonly differencing: boolean;
  /** Allocated blocks. */
  readonly count: number;
  /** Bytes of the disk that a block covers; the last block may reach beyond its end. */
  range(index: number): Range;
  /** The byte of the file at which a block's bitmap begins, and its data. */
  bitmapAt(index: number): number;
  dataAt(index: number): number;
  /** Bytes of the file between the block before this one and it. */
  gapBefore(index: number): number;
  /** Whether a block is the next one of the disk as well, after the one before it in the file. */
  isNext(index: number): boolean;
  /** The run of absent blocks that ends right before a block, or at the end of the disk for `count`. Every run has just one such end. */
  holesBefore(index: number): Generator<EmptyExtent>;
}

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
    *holesBefore(index) {
      const end = index < placed.count ? placed.block(index) : blocks;
      const stop = index < placed.count ? end * blockSize : footer.virtualSize;
      let first = end;
      while (first > 0 && !has(first - 1)) first--;
      const offset = first * blockSize;
      if (offset < stop) yield { kind: 'hole', offset, length: stop - offset };
    },
  };
}
