/** Gaps: the ranges of a dynamic or differencing VHD that belong to nothing in it. */

import { KiB, roundUp, SECTOR } from '../bytes.ts';
import type { Range } from '../disk/disk.ts';
import { nextTurn, SLICE_ITEMS } from '../slices.ts';
import { type Bat, bitmapBytesOf, metadataParts } from './bat.ts';
import type { Batmap } from './batmap.ts';
import type { Footer } from './footer.ts';
import type { Header } from './header.ts';

/** What takes up bytes of the file. */
export interface Occupied {
  readonly footer: Footer;
  readonly header: Header;
  /** Undefined as long as it has not been read. */
  readonly bat?: Bat | undefined;
  readonly batmap?: Batmap | undefined;
}

export interface Gap extends Range {
  /** Whether the first block of the file follows. */
  readonly isBeforeBlocks: boolean;
}

/** Producers align the data of a block to a page. What such a gap holds says nothing. */
const ALIGNMENT = 4 * KiB;
/** No path is longer. A larger locator would hide what is in it. */
const MAX_LOCATOR = 64 * KiB;

/**
 * The gaps of bytes [from, to), in the order of the file. Each is computed when it is asked for, in turns of the event loop if there are
 * many blocks before it; with `to` Infinity, the length of the last one is, too. Overlapping parts are no fault here.
 */
export async function* gapsOf({ footer, header, bat, batmap }: Occupied, from: number, to: number): AsyncGenerator<Gap, void, void> {
  const fixed = fixedParts(footer, header, batmap);
  const blockBytes = bitmapBytesOf(header) + header.blockSize;
  const blocks = bat?.placed.count ?? 0;
  let at = from;
  for (let part = 0, index = 0; part < fixed.length || index < blocks; ) {
    const next = fixed[part];
    const block = bat !== undefined && index < blocks ? bat.placed.sector(index) * SECTOR : Number.POSITIVE_INFINITY;
    const isBlock = next === undefined || block < next.start;
    if (isBlock && index % SLICE_ITEMS === SLICE_ITEMS - 1) await nextTurn();
    const start = isBlock ? block : next.start;
    if (start >= to) break;
    if (start - at > (isBlock ? ALIGNMENT : 0)) yield { offset: at, length: start - at, isBeforeBlocks: isBlock && index === 0 };
    at = Math.max(at, isBlock ? block + blockBytes : next.end);
    if (isBlock) index++;
    else part++;
  }
  if (at < to) yield { offset: at, length: to - at, isBeforeBlocks: false };
}

interface Part {
  readonly start: number;
  readonly end: number;
}

/** All but the blocks, sorted. */
function fixedParts(footer: Footer, header: Header, batmap: Batmap | undefined): Part[] {
  const parts: Part[] = metadataParts(footer, header).map(({ start, end }) => ({ start, end }));
  for (const { offset, length, space } of header.locators) {
    if (offset > Number.MAX_SAFE_INTEGER) continue;
    const set = space < SECTOR ? space * SECTOR : space;
    parts.push({ start: offset, end: offset + roundUp(Math.min(Math.max(set, length), MAX_LOCATOR), SECTOR) });
  }
  if (batmap !== undefined) {
    const bytes = Math.min(batmap.length, roundUp(Math.ceil(header.tableEntries / 8), ALIGNMENT));
    parts.push({ start: batmap.headerOffset, end: batmap.headerOffset + SECTOR }, { start: batmap.offset, end: batmap.offset + bytes });
  }
  return parts.sort((a, b) => a.start - b.start);
}

/** The byte after the last part of the file, at which the footer belongs. */
export async function endOfParts(occupied: Occupied): Promise<number> {
  let end = 0;
  for await (const { offset } of gapsOf(occupied, 0, Number.POSITIVE_INFINITY)) end = offset;
  return end;
}
