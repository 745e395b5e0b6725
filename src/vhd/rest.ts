/** The rest of a dynamic or differencing VHD: what follows its last block, and what else is known only once all of it has been read. */

import { startsWith } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { type OnFault, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { type EmptyTail, judgeEmptyTail } from './empty-tail.ts';
import { checkEnd, type End, hasFooter, readRest, warnOfRest } from './end.ts';
import { COOKIE, FOOTER_SIZE, type Footer, isFooter } from './footer.ts';
import { endOfParts, type Gap, gapsOf, type Occupied } from './gaps.ts';
import { lookAtGap, type Stray } from './stray.ts';

export interface Remaining {
  readonly occupied: Occupied;
  /** If it could be read first. */
  readonly end: End | undefined;
  readonly emptyTail: EmptyTail | undefined;
  /** The last sector of the last block as stored, if that was read from a stream. */
  readonly lastSector?: Uint8Array | undefined;
  readonly stray: Stray;
}

export interface Rest {
  readonly end: End;
  /** The footer in it, if it is good. */
  readonly last: Footer | undefined;
}

/**
 * Reads the rest, and judges it and the gaps. In a stream, `cursor` has watched the gaps up to the last block; of what can seek, they are
 * read here. Throws VHD_FOOTERS_DIFFER, and VHD_BLOCK_RANGE for a stream that ends in a block.
 */
export async function judgeRest(cursor: Cursor, remaining: Remaining, warn: OnWarning, fault: OnFault): Promise<Rest> {
  const { occupied, emptyTail, lastSector, stray } = remaining;
  const end = await readToEnd(cursor, remaining);
  if (end.bytes.length === 0 && lastSector !== undefined && startsWith(lastSector, COOKIE) && isFooter(lastSector)) {
    throw new VdiStreamError('VHD_BLOCK_RANGE', 'the last block extends over the footer at the end', { offset: end.offset - FOOTER_SIZE });
  }
  judgeEmptyTail(emptyTail, end, warn, fault);
  if (!stray.report(cursor, warn) && end.rest > 0) warnOfRest(cursor, end, warn);
  return { end, last: checkEnd(end, occupied.footer, warn) };
}

async function readToEnd(cursor: Cursor, { occupied, end: ahead, stray }: Remaining): Promise<End> {
  const partsEnd = await endOfParts(occupied);
  if (ahead === undefined) return streamToEnd(cursor, partsEnd, stray);
  const end = hasFooter(ahead) ? ahead : ((await footerAt(cursor, partsEnd)) ?? ahead);
  // A device holds after the last block what it held before, so that need not be read: often it is most of a large volume.
  const to = cursor.isDevice ? Math.min(partsEnd, end.offset) : end.offset;
  let data = 0;
  for await (const gap of gapsOf(occupied, 0, to)) {
    // One hole may cover many gaps.
    if (gap.offset + gap.length > data) data = await lookAtGap(cursor, gap, stray);
  }
  if (cursor.isDevice) return end;
  if (end !== ahead && end.rest > 0) await lookAtGap(cursor, tailGap(end.offset + FOOTER_SIZE, end.rest), stray);
  return end;
}

/** A good footer where it belongs, whatever follows it. */
async function footerAt(cursor: Cursor, offset: number): Promise<End | undefined> {
  const { length = 0 } = cursor;
  if (offset + FOOTER_SIZE > length) return undefined;
  await cursor.moveTo(offset);
  const bytes = await cursor.read(FOOTER_SIZE);
  return isFooter(bytes) ? { bytes, offset, rest: length - offset - FOOTER_SIZE } : undefined;
}

/** The last block may be stored only as far as the disk needs it, so the footer may come before `partsEnd`. */
async function streamToEnd(cursor: Cursor, partsEnd: number, stray: Stray): Promise<End> {
  let atEnd: Uint8Array | undefined;
  const end = await readRest(cursor, (sector, offset) => {
    if (offset < partsEnd) return;
    if (offset === partsEnd && isFooter(sector)) atEnd = Uint8Array.from(sector);
    stray.look(sector, offset);
  });
  stray.endGap(tailGap(partsEnd, Math.max(0, end.offset - partsEnd)));
  if (hasFooter(end) || atEnd === undefined) return end;
  return { bytes: atEnd, offset: partsEnd, rest: cursor.position - partsEnd - FOOTER_SIZE };
}

const tailGap = (offset: number, length: number): Gap => ({ offset, length, isBeforeBlocks: false });
