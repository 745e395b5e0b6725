/**
 * Stray bytes: those in the gaps of a VHD that are not zero. A download that was resumed at the wrong place leaves them: it begins with good
 * metadata and ends in a good footer, but the blocks after the break are displaced.
 */

import { isZero, KiB, MiB, roundDown, SECTOR } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import type { OnWarning } from '../warnings.ts';
import { bitmapBytesOf } from './bat.ts';
import { FOOTER_SIZE, type Footer, isFooter } from './footer.ts';
import { type Gap, gapsOf, type Occupied } from './gaps.ts';
import type { Header } from './header.ts';

const PIECE = MiB;
/** More than vhd-lib needs for a table or a locator. */
const MAX_MOVED = 64 * KiB;
const FILLED = new Uint8Array(SECTOR).fill(0xff);

export interface Stray {
  /** Looks at a sector of the gap that `endGap` will name. */
  look(sector: Uint8Array, offset: number): void;
  endGap(gap: Gap): void;
  /** Warns if there are any, and returns whether there are. */
  report(cursor: Cursor, warn: OnWarning): boolean;
}

export function createStray(footer: Footer, header: Header): Stray {
  const blockBytes = bitmapBytesOf(header) + header.blockSize;
  let first: number | undefined;
  let sectors = 0;
  let inGap = { first: 0, sectors: 0, isCopy: false };

  /**
   * What Xen Orchestra leaves (vhd-lib, Vhd/VhdFile.js). To make room for the table or a locator it copies the first block to the end of the
   * file, and so leaves its old place. An old version that had not read the table yet copied the start of the file instead, and put the
   * footer over the last sector of that.
   */
  function isOfVhdLib({ length, isBeforeBlocks }: Gap, isCopy: boolean): boolean {
    if (header.blockSize !== 2 * MiB) return false;
    if (isCopy && length === blockBytes - FOOTER_SIZE) return true;
    return isBeforeBlocks && length <= blockBytes && length > blockBytes - MAX_MOVED;
  }

  return {
    look(sector, offset) {
      if (isPadding(sector) || isPath(sector)) return;
      // Where the file ended before it grew.
      if (isFooter(sector)) {
        if (inGap.sectors === 0 && Buffer.compare(sector, footer.bytes) === 0) inGap.isCopy = true;
        return;
      }
      if (inGap.sectors === 0) inGap.first = offset;
      inGap.sectors++;
    },
    endGap(gap) {
      if (inGap.sectors > 0 && !isOfVhdLib(gap, inGap.isCopy)) {
        first ??= inGap.first;
        sectors += inGap.sectors;
      }
      inGap = { first: 0, sectors: 0, isCopy: false };
    },
    report({ isDevice }, warn) {
      if (first === undefined) return false;
      const what = `${sectors * SECTOR} bytes with data, from byte ${first} on, belong to no part of the VHD`;
      // What a volume held before is no damage.
      if (isDevice) warn({ code: 'VHD_DEVICE_REST', message: `${what}: the device may have held them before`, offset: first });
      else warn({ code: 'VHD_STRAY', message: `${what}, as in a download that was resumed at the wrong place`, offset: first });
      return true;
    },
  };
}

/** Windows fills the space after its table with ff. */
const isPadding = (sector: Uint8Array): boolean => Buffer.compare(sector, FILLED.subarray(0, sector.length)) === 0;

/** A parent locator that is not in use any more: libvhd and vhd-lib write a new one elsewhere. In ASCII or UTF-16. */
const isPath = (sector: Uint8Array): boolean =>
  /^(?:file:\/\/[\x20-\xff]+|(?:[\x20-\x7e]\0)+|(?:\0[\x20-\x7e])+)\0*$/.test(Buffer.from(sector).toString('latin1'));

/** Reads a gap and looks at it. Skips the holes of a file: returns the byte from which on there may be data again. */
export async function lookAtGap(cursor: Cursor, gap: Gap, stray: Stray): Promise<number> {
  const { offset, length } = gap;
  const end = offset + length;
  const buffer = new Uint8Array(Math.min(PIECE, length));
  let at = offset;
  while (at < end) {
    if (cursor.nextData !== undefined) at = Math.max(at, roundDown(await cursor.nextData(at), SECTOR));
    if (at >= end) break;
    const piece = buffer.subarray(0, Math.min(PIECE, end - at));
    await cursor.moveTo(at);
    await cursor.fill(piece);
    if (!isZero(piece)) {
      for (let from = 0; from < piece.length; from += SECTOR) {
        const sector = piece.subarray(from, from + SECTOR);
        if (!isZero(sector)) stray.look(sector, at + from);
      }
    }
    at += piece.length;
  }
  stray.endGap(gap);
  return at;
}

/** Looks at the gaps of a stream that come before the table, which is needed to find the others. */
export async function lookBeforeTable(cursor: Cursor, occupied: Occupied, stray: Stray): Promise<void> {
  if (cursor.seekable) return;
  for await (const gap of gapsOf(occupied, cursor.position, occupied.header.tableOffset)) await lookAtGap(cursor, gap, stray);
}

/** A cursor over a stream that looks at the gaps it moves past; from where it is now. */
export function watching(cursor: Cursor, occupied: Occupied, stray: Stray): Cursor {
  const gaps = gapsOf(occupied, cursor.position, Number.POSITIVE_INFINITY);
  let next = gaps.next();
  return {
    seekable: false,
    length: cursor.length,
    get position() {
      return cursor.position;
    },
    peek: (count) => cursor.peek(count),
    read: (count) => cursor.read(count),
    fill: (...into) => cursor.fill(...into),
    chunks: () => cursor.chunks(),
    async moveTo(position) {
      let gap = await next;
      while (!gap.done && gap.value.offset + gap.value.length <= position) {
        await lookAtGap(cursor, gap.value, stray);
        next = gaps.next();
        gap = await next;
      }
      await cursor.moveTo(position);
    },
  };
}
