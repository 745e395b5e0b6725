/** The metadata of a VHD: what its footer, and of a dynamic or differencing one its header and its BAT, say. Checked. */

import type { Cursor } from '../cursor.ts';
import { FRONT_BYTES, refuseOtherFormat } from '../disk/other-formats.ts';
import { refuse, VdiStreamError } from '../errors.ts';
import { type Bat, firstByte, readBat, readTable } from './bat.ts';
import { type Batmap, readBatmap } from './batmap.ts';
import { type EmptyTail, findEmptyTail, judgeEmptyTail } from './empty-tail.ts';
import { checkEnd, type EndAhead, type FixedEnd, hasFooter, isFixed, lookAtEnd } from './end.ts';
import { refuseExtra } from './fixed.ts';
import { FOOTER_SIZE, type Footer, hasCookie, parseFooter } from './footer.ts';
import { HEADER_SIZE, type Header, headerOffset, parseHeader } from './header.ts';
import { createStray, lookBeforeTable, type Stray } from './stray.ts';

export type VhdMetadata = FixedMetadata | BlockMetadata;

interface FixedMetadata {
  readonly type: 'fixed';
  /** If it could be read first; it has a footer then. */
  readonly end: FixedEnd | undefined;
}

export interface BlockMetadata {
  readonly type: 'dynamic' | 'differencing';
  /** The copy at the start. */
  readonly footer: Footer;
  readonly header: Header;
  readonly bat: Bat;
  readonly batmap: Batmap | undefined;
  /** If it could be read first. */
  readonly end: EndAhead | undefined;
  /** The same; undefined also if there is none. */
  readonly emptyTail: EmptyTail | undefined;
  /** What was found in the gaps before the table. */
  readonly stray: Stray;
}

/**
 * Reads it from the start. The VHD is the rest of the range of `cursor`.
 *
 * If the source can seek, the footer at the end is read first: the content of a fixed disk may itself begin with "conectix". Otherwise a
 * footer at the start means a dynamic or differencing disk, and none means a fixed one.
 *
 * Throws a VdiStreamError with a VHD_…, DISK_EMPTY, FORMAT_OTHER or SOURCE_TRUNCATED code.
 */
export async function readMetadata(cursor: Cursor): Promise<VhdMetadata> {
  const end = await lookAtEnd(cursor);
  if (isFixed(end)) {
    await refuseExtra(cursor, end);
    return { type: 'fixed', end };
  }

  const front = await cursor.peek(FOOTER_SIZE);
  if (front.length === 0) throw new VdiStreamError('DISK_EMPTY', 'the disk is empty', { offset: 0 });
  if (!hasCookie(front)) {
    refuseOtherFormat(await cursor.peek(FRONT_BYTES));
    // The end is readable, so it must have a valid footer.
    if (end?.footer !== undefined) {
      throw new VdiStreamError('VHD_TYPE', `the footer at the end says ${end.footer.type}, but there is no footer at the start`, {
        offset: end.offset + 60,
      });
    }
    if (end !== undefined) throw end.error ?? noFooter(end.offset);
    return { type: 'fixed', end: undefined };
  }
  const footer = parseFooter(await cursor.read(FOOTER_SIZE), 0);
  if (footer.type !== 'dynamic' && footer.type !== 'differencing') {
    throw new VdiStreamError('VHD_TYPE', 'the footer at the start says fixed, but a fixed VHD has a footer only at its end', {
      offset: 60,
    });
  }
  return readBlockMetadata(cursor, footer, footer.type, end);
}

async function readBlockMetadata(
  cursor: Cursor,
  footer: Footer,
  type: BlockMetadata['type'],
  end: EndAhead | undefined,
): Promise<BlockMetadata> {
  if (end?.footer !== undefined) checkEnd(end, footer, () => {});
  await cursor.moveTo(headerOffset(footer));
  const header = parseHeader(await cursor.read(HEADER_SIZE), footer);
  const stray = createStray(footer, header);
  await lookBeforeTable(cursor, { footer, header }, stray);
  const bat = await readBat(await readTable(cursor, header), footer, header, limitOf(cursor, end));
  const batmap = await readBatmap(cursor, footer, header, firstByte(bat));
  const emptyTail = end === undefined || type !== 'dynamic' ? undefined : await findEmptyTail(cursor, bat);
  if (end !== undefined && !hasFooter(end)) judgeEmptyTail(emptyTail, end, () => {}, refuse);
  return { type, footer, header, bat, batmap, end, emptyTail, stray };
}

/** The byte at which the last block must have ended. In a stream it is not known in time whether there is a footer. */
export function limitOf({ length = Number.POSITIVE_INFINITY }: Cursor, end: EndAhead | undefined): number {
  return end !== undefined && hasFooter(end) ? end.offset : length;
}

function noFooter(offset: number): VdiStreamError {
  return new VdiStreamError('VHD_FOOTER', 'no VHD footer, neither at the start nor at the end; perhaps this is a raw disk', { offset });
}
