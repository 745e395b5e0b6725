/** From the bytes of one VHD to a Disk. */

import type { Cursor } from '../cursor.ts';
import type { DecodeOptions, Disk } from '../disk/disk.ts';
import { refuseOtherFormat } from '../disk/other-formats.ts';
import { VdiStreamError } from '../errors.ts';
import { dynamicDisk } from './dynamic.ts';
import { checkEnd, lookAtEnd } from './end.ts';
import { fixedDisk } from './fixed.ts';
import { FOOTER_SIZE, hasCookie, parseFooter } from './footer.ts';

/**
 * Reads a VHD that begins where `cursor` stands and whose range ends where it does, as far as its virtual size and block
 * table. Nothing is decoded until `extents` is iterated.
 *
 * Where the source can seek, the end footer is looked at first: a fixed disk's content may itself begin with "conectix".
 * Otherwise a footer in front means a dynamic disk, and none means a fixed one.
 *
 * Throws a VdiStreamError with a VHD_…, FORMAT_OTHER, DISK_SIZE_UNKNOWN or SOURCE_TRUNCATED code.
 */
export async function decodeVhd(cursor: Cursor, options: DecodeOptions = {}): Promise<Disk> {
  const { onWarning: warn = () => {} } = options;
  const end = await lookAtEnd(cursor);
  if (end?.footer?.type === 'fixed') return fixedDisk(cursor, end.footer, warn);

  const front = await cursor.peek(FOOTER_SIZE);
  if (front.length === 0) throw new VdiStreamError('DISK_EMPTY', 'this disk has no bytes', { offset: 0 });
  if (!hasCookie(front)) {
    refuseOtherFormat(front);
    // With the end in reach a footer must be there; its own error tells what is wrong with it.
    if (end?.footer !== undefined) {
      throw new VdiStreamError('VHD_TYPE', `the footer at the end says ${end.footer.type}, but no such disk stands in front of it`, {
        offset: end.offset + 60,
      });
    }
    if (end !== undefined) throw end.error ?? noFooter(end.offset);
    return fixedDisk(cursor, undefined, warn);
  }
  const footer = parseFooter(await cursor.read(FOOTER_SIZE), 0);
  if (footer.type === 'fixed') {
    throw new VdiStreamError('VHD_TYPE', 'a footer in front says fixed, but a fixed VHD has its footer at the end only', { offset: 60 });
  }
  if (end?.footer !== undefined) checkEnd(end.bytes, end.offset, footer, () => {});
  return dynamicDisk(cursor, footer, warn);
}

function noFooter(offset: number): VdiStreamError {
  return new VdiStreamError('VHD_FOOTER', 'neither a footer in front nor one at the end: this is no VHD, perhaps a raw disk', { offset });
}
