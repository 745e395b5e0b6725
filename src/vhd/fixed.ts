/**
 * A fixed VHD: the disk's bytes and then the footer. Its size is known from the length of the file alone, so a stream of
 * known length can be written at once and is checked against the footer when that comes by.
 */

import { SECTOR } from '../bytes.ts';
import { type Cursor, truncated } from '../cursor.ts';
import type { Disk, Identity } from '../disk/disk.ts';
import { flatDisk } from '../disk/flat.ts';
import { pieces } from '../disk/pieces.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { type Footer, footerBytes, hasCookie, identityOf, parseFooter, warnOfFooter } from './footer.ts';

/** `footer` is given where the source could be looked at from its end. Throws VHD_FOOTER where no fixed VHD can be. */
export function fixedDisk(cursor: Cursor, footer: Footer | undefined, warn: OnWarning): Disk {
  const length = cursor.length;
  if (length === undefined) {
    throw new VdiStreamError('DISK_SIZE_UNKNOWN', 'no VHD footer in front, so perhaps a fixed VHD; its size stands at the end', {
      offset: 0,
    });
  }
  const virtualSize = footer?.virtualSize ?? length - footerBytes(length);
  const bodyEnd = length - footerBytes(length);
  if (virtualSize <= 0 || virtualSize % SECTOR !== 0) {
    throw new VdiStreamError('VHD_FOOTER', `${length} bytes cannot be a fixed VHD: sectors of 512 bytes and a footer`, { offset: 0 });
  }
  if (bodyEnd < virtualSize) throw truncated(bodyEnd);

  async function finish(): Promise<Identity> {
    await cursor.moveTo(bodyEnd);
    const found = await cursor.read(footerBytes(length ?? 0));
    if (!hasCookie(found)) {
      throw new VdiStreamError('VHD_FOOTER', 'neither a footer in front nor one at the end: this is no VHD, perhaps a raw disk', {
        offset: bodyEnd,
      });
    }
    const end = footer ?? parseFooter(found, bodyEnd);
    if (end.type !== 'fixed') {
      throw new VdiStreamError('VHD_TYPE', `the footer says ${end.type}, but there is no such disk in front of it`, {
        offset: bodyEnd + 60,
      });
    }
    if (end.virtualSize !== virtualSize) {
      throw new VdiStreamError('VHD_SIZE', `the footer says ${end.virtualSize} bytes, but ${virtualSize} stand in front of it`, {
        offset: bodyEnd + 48,
      });
    }
    warnOfFooter(end, warn);
    return identityOf(end);
  }

  return flatDisk(cursor, {
    type: 'fixed',
    virtualSize,
    identity: footer && identityOf(footer),
    body: (buffers, signal) => pieces(cursor, { offset: 0, length: virtualSize }, buffers, { signal }),
    finish,
  });
}
