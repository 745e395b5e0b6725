/** Decodes one VHD. */

import { checkArguments, checkOptions } from '../arguments.ts';
import type { Cursor } from '../cursor.ts';
import type { DecodeOptions, Disk } from '../disk/disk.ts';
import { refuseOtherFormat } from '../disk/other-formats.ts';
import { VdiStreamError } from '../errors.ts';
import { dynamicDisk } from './dynamic.ts';
import { checkEnd, lookAtEnd } from './end.ts';
import { fixedDisk } from './fixed.ts';
import { FOOTER_SIZE, hasCookie, parseFooter } from './footer.ts';

/**
 * Reads the metadata of a VHD, up to its BAT. The VHD is the rest of the range of `cursor`. Its data is read when `extents` is iterated.
 *
 * If the source can seek, the footer at the end is read first: the content of a fixed disk may itself begin with "conectix". Otherwise a
 * footer at the start means a dynamic or differencing disk, and none means a fixed one.
 *
 * Throws a VdiStreamError with a USAGE, VHD_…, FORMAT_OTHER, DISK_SIZE_UNKNOWN or SOURCE_TRUNCATED code.
 */
export async function decodeVhd(cursor: Cursor, options: DecodeOptions = {}): Promise<Disk> {
  checkArguments('decodeVhd', cursor);
  checkOptions('decodeVhd', options);
  const { onWarning: warn = () => {} } = options;
  const end = await lookAtEnd(cursor);
  if (end?.footer?.type === 'fixed') return fixedDisk(cursor, end.footer, warn);

  const front = await cursor.peek(FOOTER_SIZE);
  if (front.length === 0) throw new VdiStreamError('DISK_EMPTY', 'the disk is empty', { offset: 0 });
  if (!hasCookie(front)) {
    refuseOtherFormat(front);
    // The end is readable, so it must have a valid footer.
    if (end?.footer !== undefined) {
      throw new VdiStreamError('VHD_TYPE', `the footer at the end says ${end.footer.type}, but there is no footer at the start`, {
        offset: end.offset + 60,
      });
    }
    if (end !== undefined) throw end.error ?? noFooter(end.offset);
    return fixedDisk(cursor, undefined, warn);
  }
  const footer = parseFooter(await cursor.read(FOOTER_SIZE), 0);
  if (footer.type === 'fixed') {
    throw new VdiStreamError('VHD_TYPE', 'the footer at the start says fixed, but a fixed VHD has a footer only at its end', {
      offset: 60,
    });
  }
  if (end?.footer !== undefined) checkEnd(end.bytes, end.offset, footer, () => {});
  return dynamicDisk(cursor, footer, warn);
}

function noFooter(offset: number): VdiStreamError {
  return new VdiStreamError('VHD_FOOTER', 'no VHD footer, neither at the start nor at the end; perhaps this is a raw disk', { offset });
}
