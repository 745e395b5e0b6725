/** The size of a disk that is known only at its end: given by the caller, or found by reading everything, without the data. */

import { type Chunks, type Cursor, totalLength, truncated } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { type End, readRest } from '../vhd/end.ts';
import { otherSize } from '../vhd/fixed.ts';
import { FOOTER_SIZE, hasCookie, parseFooter, SHORT_FOOTER_SIZE } from '../vhd/footer.ts';

/** The bytes of a fixed VHD whose disk has `size` bytes. Throws VHD_SIZE if there are more or less; a footer of 511 bytes is completed. */
export async function* fixedOfSize(source: Chunks, size: number): Chunks {
  const length = size + FOOTER_SIZE;
  let read = 0;
  for await (const chunk of source) {
    read += chunk.length;
    if (read > length) {
      throw new VdiStreamError('VHD_SIZE', `the image is longer than a fixed VHD of the given size, ${size} bytes, with its footer`, {
        offset: length,
      });
    }
    yield chunk;
  }
  if (read === size + SHORT_FOOTER_SIZE) return yield new Uint8Array(1);
  if (read < length) {
    const message = `the image ends here, and a fixed VHD of the given size, ${size} bytes, has a footer after them: perhaps a raw disk`;
    throw new VdiStreamError('VHD_SIZE', read === size ? message : message.replace(': perhaps a raw disk', ''), { offset: read });
  }
}

/**
 * Reads everything, and returns a cursor over it that knows its length and has the first bytes, the last ones, and the zeros before those:
 * enough to describe a disk without blocks, not to read it. Throws VHD_SIZE if it is a fixed VHD with more data than its size.
 */
export async function skimmed(cursor: Cursor): Promise<Cursor> {
  const front = Uint8Array.from(await cursor.peek(FOOTER_SIZE));
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

  async function fill(...into: Uint8Array[]): Promise<void> {
    const bytes = bytesAt(position, totalLength(into));
    let filled = 0;
    for (const part of into) {
      part.set(bytes.subarray(filled, filled + part.length));
      filled += part.length;
    }
    position += filled;
  }

  return {
    seekable: true, // for what was kept
    length,
    fill,
    get position() {
      return position;
    },
    peek: async (count) => bytesAt(position, Math.min(count, length - position)),
    async read(count) {
      const bytes = new Uint8Array(count);
      await fill(bytes);
      return bytes;
    },
    async moveTo(target) {
      if (target > length) throw truncated(length);
      position = target;
    },
    async *chunks() {
      const rest = bytesAt(position, length - position);
      position = length;
      if (rest.length > 0) yield rest;
    },
  };
}

/** Here, because the bytes between the disk and its footer are not kept. */
function refuseMoreData({ bytes, offset }: End, dataEnd: number): void {
  const footer = hasCookie(bytes) ? parseFooter(bytes, offset, () => {}) : undefined;
  if (footer?.type === 'fixed' && footer.virtualSize < dataEnd) throw otherSize(footer, offset);
}
