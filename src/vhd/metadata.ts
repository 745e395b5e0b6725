/** The metadata of a VHD: what its footer, and of a dynamic or differencing one its header and its BAT, say. Checked. */

import type { Cursor } from '../cursor.ts';
import { FRONT_BYTES, refuseOtherFormat } from '../disk/other-formats.ts';
import { VdiStreamError } from '../errors.ts';
import { type Bat, firstByte, readBat, readTable } from './bat.ts';
import { readBatmap } from './batmap.ts';
import { checkEnd, lookAtEnd } from './end.ts';
import { FOOTER_SIZE, type Footer, hasCookie, parseFooter } from './footer.ts';
import { HEADER_SIZE, type Header, headerOffset, parseHeader } from './header.ts';

export type VhdMetadata = FixedMetadata | BlockMetadata;

interface FixedMetadata {
  readonly type: 'fixed';
  /** The one at the end, if that could be read first. */
  readonly footer: Footer | undefined;
}

export interface BlockMetadata {
  readonly type: 'dynamic' | 'differencing';
  /** The copy at the start. */
  readonly footer: Footer;
  readonly header: Header;
  readonly bat: Bat;
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
  if (end?.footer?.type === 'fixed') return { type: 'fixed', footer: end.footer };

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
    return { type: 'fixed', footer: undefined };
  }
  const footer = parseFooter(await cursor.read(FOOTER_SIZE), 0);
  if (footer.type !== 'dynamic' && footer.type !== 'differencing') {
    throw new VdiStreamError('VHD_TYPE', 'the footer at the start says fixed, but a fixed VHD has a footer only at its end', {
      offset: 60,
    });
  }
  if (end?.footer !== undefined) checkEnd(end.bytes, end.offset, footer, () => {});
  await cursor.moveTo(headerOffset(footer));
  const header = parseHeader(await cursor.read(HEADER_SIZE), footer);
  const bat = readBat(await readTable(cursor, header), footer, header, cursor.length);
  await readBatmap(cursor, footer, header, firstByte(bat));
  return { type: footer.type, footer, header, bat };
}

function noFooter(offset: number): VdiStreamError {
  return new VdiStreamError('VHD_FOOTER', 'no VHD footer, neither at the start nor at the end; perhaps this is a raw disk', { offset });
}
