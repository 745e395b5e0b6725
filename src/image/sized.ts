/** The size of a disk that is known only at its end: given by the caller, or found by reading everything, without the data. */

import { isZero } from '../bytes.ts';
import { type Chunks, type Cursor, truncated } from '../cursor.ts';
import { FRONT_BYTES } from '../disk/other-formats.ts';
import { VdiStreamError } from '../errors.ts';
import { type End, readRest } from '../vhd/end.ts';
import { otherSize } from '../vhd/fixed.ts';
import { FOOTER_SIZE, hasCookie, parseFooter, SHORT_FOOTER_SIZE } from '../vhd/footer.ts';
import type { OnWarning } from '../warnings.ts';

/**
 * The bytes of a fixed VHD whose disk has `size` bytes; a footer of 511 bytes is completed. Zeros between the disk and its footer are left out,
 * with a warning. Throws VHD_SIZE for anything else there, and if the image is shorter.
 */
export async function* fixedOfSize(source: Chunks, size: number, warn: OnWarning): Chunks {
  let read = 0;
  let extra = 0;
  let footer: Uint8Array = new Uint8Array(0);
  for await (const chunk of source) {
    const body = chunk.subarray(0, Math.max(0, size - read));
    read += chunk.length;
    const after = Buffer.concat([footer, chunk.subarray(body.length)]);
    const between = after.subarray(0, Math.max(0, after.length - FOOTER_SIZE));
    if (!isZero(between)) throw longer(size);
    extra += between.length;
    footer = after.subarray(between.length);
    if (body.length > 0) yield body;
  }
  if (footer.length < SHORT_FOOTER_SIZE) {
    const message = `the image ends here, and a fixed VHD of the given size, ${size} bytes, has a footer after them`;
    throw new VdiStreamError('VHD_SIZE', read === size ? `${message}: perhaps a raw disk` : message, { offset: read });
  }
  if (extra > 0) {
    const message = `${extra} zero bytes are between the disk, which has the given size of ${size} bytes, and the footer`;
    warn({ code: 'VHD_LONGER', message, offset: size });
  }
  yield Buffer.concat([footer, new Uint8Array(FOOTER_SIZE - footer.length)]);
}

const longer = (size: number): VdiStreamError =>
  new VdiStreamError('VHD_SIZE', `the image is longer than a fixed VHD of the given size, ${size} bytes, with its footer`, {
    offset: size + FOOTER_SIZE,
  });

/**
 * Reads everything, and returns a cursor over it that knows its length and has the first bytes, the last ones, and the zeros before those:
 * enough to describe a disk without blocks, not to read it. Throws VHD_SIZE if it is a fixed VHD with more data than its size.
 */
export async function skimmed(cursor: Cursor): Promise<Cursor> {
  const front = Uint8Array.from(await cursor.peek(FRONT_BYTES));
  let dataEnd = 0;
  const end = await readRest(cursor, (sector, offset) => {
    dataEnd = offset + sector.length;
  });
  const length = end.offset + end.bytes.length + end.rest;
  refuseMoreData(end, dataEnd);
  let position = 0;

  function bytesAt(at: number, count: number): Uint8Array {
    if (at + count > length) throw truncated(length);
    if (at + count <= front.length) return front.subarray(at, at + count);
    const inEnd = at - end.offset;
    if (inEnd >= 0 && inEnd + count <= end.bytes.length) return end.bytes.subarray(inEnd, inEnd + count);
    if ((at >= dataEnd && at + count <= end.offset) || inEnd >= end.bytes.length) return new Uint8Array(count);
    throw new VdiStreamError('SOURCE_ORDER', `byte ${at} of the stream has been read, and was not kept`, { offset: at });
  }

  function take(count: number): Uint8Array {
    const bytes = bytesAt(position, count);
    position += count;
    return bytes;
  }

  return {
    seekable: true, // for what was kept
    length,
    get position() {
      return position;
    },
    peek: async (count) => bytesAt(position, Math.min(count, length - position)),
    read: async (count) => Uint8Array.from(take(count)),
    async fill(...into) {
      for (const part of into) part.set(take(part.length));
    },
    async moveTo(target) {
      if (target > length) throw truncated(length);
      position = target;
    },
    async *chunks() {
      const rest = take(length - position);
      if (rest.length > 0) yield rest;
    },
  };
}

/** Here, because the bytes between the disk and its footer are not kept. */
function refuseMoreData({ bytes, offset }: End, dataEnd: number): void {
  const footer = hasCookie(bytes) ? parseFooter(bytes, offset, () => {}) : undefined;
  if (footer?.type === 'fixed' && footer.virtualSize < dataEnd) throw otherSize(footer, offset);
}
