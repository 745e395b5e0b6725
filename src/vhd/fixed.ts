/**
 * A fixed VHD: the bytes of the disk, then the footer. The length of the file gives its size, so a stream of known length can be written
 * as it arrives, and is checked against the footer at the end.
 */

import { SECTOR } from '../bytes.ts';
import { type Cursor, truncated } from '../cursor.ts';
import type { Disk, Identity } from '../disk/disk.ts';
import { flatDisk } from '../disk/flat.ts';
import { pieces } from '../disk/pieces.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { type Footer, footerBytes, hasCookie, identityOf, parseFooter, warnOfFooter } from './footer.ts';

/** `footer` is the one at the end, if that could be read first. Throws DISK_SIZE_UNKNOWN, VHD_FOOTER, SOURCE_TRUNCATED. */
export function fixedDisk(cursor: Cursor, footer: Footer | undefined, warn: OnWarning): Disk {
  const length = cursor.length;
  if (length === undefined) {
    throw new VdiStreamError('DISK_SIZE_UNKNOWN', 'no VHD footer at the start, so this may be a fixed VHD; its size is at the end', {
      offset: 0,
    });
  }
  const virtualSize = footer?.virtualSize ?? length - footerBytes(length);
  const bodyEnd = length - footerBytes(length);
  if (virtualSize <= 0 || virtualSize % SECTOR !== 0) {
    throw new VdiStreamError('VHD_FOOTER', `this is not a fixed VHD: ${length} bytes are not whole sectors and a footer`, { offset: 0 });
  }
  if (bodyEnd < virtualSize) throw truncated(bodyEnd);

  async function finish(): Promise<Identity> {
    await cursor.moveTo(bodyEnd);
    const found = await cursor.read(footerBytes(length ?? 0));
    if (!hasCookie(found)) {
      throw new VdiStreamError('VHD_FOOTER', 'no VHD footer, neither at the start nor at the end; perhaps this is a raw disk', {
        offset: bodyEnd,
      });
    }
    const end = footer ?? parseFooter(found, bodyEnd);
    if (end.type !== 'fixed') {
      throw new VdiStreamError('VHD_TYPE', `the footer at the end says ${end.type}, but there is no footer at the start`, {
        offset: bodyEnd + 60,
      });
    }
    if (end.virtualSize !== virtualSize) {
      throw new VdiStreamError('VHD_SIZE', `the footer says ${end.virtualSize} bytes, but the disk before it has ${virtualSize}`, {
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
