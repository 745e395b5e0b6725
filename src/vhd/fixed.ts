/**
 * A fixed VHD: the bytes of the disk, then the footer. The length of the file gives its size, so a stream of known length can be written
 * as it arrives, and is checked against the footer at the end. Upload tools leave zeros between the two
 * (microsoft/azure-vhd-utils#39); in a stream, these pass for a part of the disk until its footer arrives.
 */

import { isZero, lastNonZero, MiB, SECTOR } from '../bytes.ts';
import { type Cursor, truncated } from '../cursor.ts';
import type { Disk, DiskEnd } from '../disk/disk.ts';
import type { Buffers, DataExtent } from '../disk/extent.ts';
import { flatDisk } from '../disk/flat.ts';
import { pieces } from '../disk/pieces.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { type FixedEnd, warnOfRest } from './end.ts';
import { type Footer, footerBytes, hasCookie, identityOf, parseFooter, warnOfFooter } from './footer.ts';

const PIECE = MiB;

type Judge = (footer: Footer, warn: OnWarning, at: number) => void;

/**
 * `end` is the one of the VHD, if that could be read first; `judge` is called with the footer, at the end, and the byte at which it is.
 * Throws DISK_SIZE_UNKNOWN, VHD_FOOTER, SOURCE_TRUNCATED.
 */
export function fixedDisk(cursor: Cursor, end: FixedEnd | undefined, warn: OnWarning, judge: Judge = warnOfFooter): Disk {
  const length = cursor.length;
  if (length === undefined) {
    throw new VdiStreamError('DISK_SIZE_UNKNOWN', 'no VHD footer at the start, so this may be a fixed VHD; its size is at the end', {
      offset: 0,
    });
  }
  const bodyEnd = end?.offset ?? length - footerBytes(length);
  const virtualSize = end?.footer.virtualSize ?? bodyEnd;
  if (virtualSize <= 0 || virtualSize % SECTOR !== 0) {
    throw new VdiStreamError('VHD_FOOTER', `this is not a fixed VHD: ${length} bytes are not whole sectors and a footer`, { offset: 0 });
  }
  if (bodyEnd < virtualSize) throw truncated(bodyEnd);

  /** The byte after the last one of a stream that is not zero. */
  let dataEnd = 0;
  const see = (bytes: Uint8Array, offset: number): void => {
    const last = lastNonZero(bytes);
    if (last >= 0) dataEnd = offset + last + 1;
  };

  async function* body(buffers: Buffers, signal: AbortSignal | undefined): AsyncGenerator<DataExtent> {
    const prepare = cursor.seekable ? undefined : see;
    yield* pieces(cursor, { offset: 0, length: virtualSize }, buffers, { signal, prepare });
  }

  async function pass(): Promise<void> {
    if (cursor.seekable) return;
    const buffer = new Uint8Array(Math.min(PIECE, virtualSize));
    for (let at = cursor.position; at < virtualSize; at = cursor.position) {
      const bytes = buffer.subarray(0, virtualSize - at);
      await cursor.fill(bytes);
      see(bytes, at);
    }
  }

  async function finish(): Promise<DiskEnd> {
    const footer = end?.footer ?? (await footerOf(cursor, bodyEnd, dataEnd));
    if (footer.virtualSize > bodyEnd || footer.virtualSize < dataEnd) throw otherSize(footer, bodyEnd);
    judge(footer, warn, bodyEnd);
    if (footer.virtualSize < bodyEnd) {
      const message = `${bodyEnd - footer.virtualSize} zero bytes are between the disk and the footer, which says ${footer.virtualSize} bytes`;
      warn({ code: 'VHD_LONGER', message: `${message}; that is the size of the disk`, offset: footer.virtualSize });
    }
    if (end !== undefined && end.rest > 0) warnOfRest(cursor, end, warn);
    return { identity: identityOf(footer), virtualSize: footer.virtualSize };
  }

  return flatDisk(cursor, { type: 'fixed', virtualSize, identity: end && identityOf(end.footer), body, finish, pass });
}

export const otherSize = ({ virtualSize }: Footer, bodyEnd: number): VdiStreamError =>
  new VdiStreamError('VHD_SIZE', `the footer says ${virtualSize} bytes, but the disk before it has ${bodyEnd}`, { offset: bodyEnd + 48 });

/** The footer after the disk in a stream. */
async function footerOf(cursor: Cursor, bodyEnd: number, dataEnd: number): Promise<Footer> {
  await cursor.moveTo(bodyEnd);
  const found = await cursor.read(footerBytes(cursor.length ?? 0));
  if (!hasCookie(found)) {
    const isLonger = isZero(found) && dataEnd < bodyEnd;
    const perhaps = isLonger
      ? 'perhaps this is a raw disk, or a fixed VHD that was made longer, whose footer is before the zeros at the end: a file can be searched for it'
      : 'perhaps this is a raw disk';
    throw new VdiStreamError('VHD_FOOTER', `no VHD footer, neither at the start nor at the end; ${perhaps}`, { offset: bodyEnd });
  }
  const footer = parseFooter(found, bodyEnd);
  if (footer.type === 'fixed') return footer;
  throw new VdiStreamError('VHD_TYPE', `the footer at the end says ${footer.type}, but there is no footer at the start`, {
    offset: bodyEnd + 60,
  });
}

/** Throws VHD_SIZE if anything but zeros is between the disk and the footer. */
export async function refuseExtra(cursor: Cursor, { footer, offset: bodyEnd }: FixedEnd): Promise<void> {
  const buffer = new Uint8Array(Math.min(PIECE, Math.max(0, bodyEnd - footer.virtualSize)));
  for (let at = footer.virtualSize; at < bodyEnd; ) {
    if (cursor.nextData !== undefined) at = Math.max(at, await cursor.nextData(at));
    const bytes = buffer.subarray(0, Math.max(0, bodyEnd - at));
    await cursor.moveTo(at);
    await cursor.fill(bytes);
    if (!isZero(bytes)) throw otherSize(footer, bodyEnd);
    at += bytes.length;
  }
  await cursor.moveTo(0);
}
