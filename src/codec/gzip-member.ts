/**
 * The framing of a gzip member (RFC 1952, 2.3): a header, raw deflate data, and a trailer with CRC-32 and length. It is read and checked
 * here for all codecs, so that each reports the same errors.
 *
 *   offset  size  header
 *        0     2  magic: 1f 8b
 *        2     1  method: 8, deflate
 *        3     1  flags: which of the fields below there are
 *        4     6  mtime, extra flags, operating system
 *       10        the extra field: its length in 2 bytes, then subfields; a name and a comment that end with NUL; a CRC in 2 bytes
 */

import zlib from 'node:zlib';
import { isZero } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import type { CompressedInput } from './compressed-input.ts';

/** The first byte of a member. */
export const ID1 = 0x1f;
const GZIP_MAGIC = 0x8b1f;
const DEFLATE = 8;
const FLAG = { headerCrc: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 } as const;

/** Bytes in front of the subfields of the extra field. */
export const EXTRA_START = 12;
const TRAILER = 8;

const truncatedAt = (offset: number): VdiStreamError =>
  new VdiStreamError('COMPRESSION_TRUNCATED', 'the gzip stream is truncated', { offset });

/** The stream is damaged before or at `offset`. */
export const damagedAt = (offset: number, what: string): VdiStreamError =>
  new VdiStreamError('COMPRESSION_DATA', `the gzip stream is damaged: ${what}`, { offset });

/**
 * The CRC-32 of what `crc` is that of, and `bytes`. zlib's own forgets it for no bytes that lie nowhere. A
 * property, not an import: a Node before 20.15 has no `crc32`, and could not load the program even to print its version.
 */
export const addToCrc = (crc: number, bytes: Uint8Array): number => (bytes.length === 0 ? crc : zlib.crc32(bytes, crc));

/** Uses up `count` bytes. Throws COMPRESSION_TRUNCATED. */
async function take(input: CompressedInput, count: number): Promise<Buffer> {
  const bytes = Buffer.alloc(count);
  if ((await input.copy(bytes)) < count) await need(input);
  return bytes;
}

/** Waits for bytes. Throws COMPRESSION_TRUNCATED if there are no more. */
export async function need(input: CompressedInput): Promise<void> {
  if (!(await input.refill())) throw truncatedAt(input.offset);
}

/** Reads past a header. Throws COMPRESSION_DATA, COMPRESSION_TRUNCATED. */
export async function skipHeader(input: CompressedInput): Promise<void> {
  let crc = 0;
  const field = async (count: number): Promise<Buffer> => {
    const bytes = await take(input, count);
    crc = addToCrc(crc, bytes);
    return bytes;
  };
  const text = async (): Promise<void> => {
    for (;;) {
      await need(input);
      const end = input.bytes.indexOf(0);
      const part = end === -1 ? input.bytes : input.bytes.subarray(0, end + 1);
      crc = addToCrc(crc, part);
      input.skip(part.length);
      if (end !== -1) return;
    }
  };
  // In steps, as zlib reads them: a wrong one is an error even if the source ends after it.
  if ((await field(2)).readUInt16LE() !== GZIP_MAGIC) throw damagedAt(input.offset, 'it has no gzip header');
  const [method, flags = 0] = await field(2);
  if (method !== DEFLATE) throw damagedAt(input.offset, 'unknown compression method');
  if ((flags & FLAG.reserved) !== 0) throw damagedAt(input.offset, 'unknown header flags');
  await field(6);
  if ((flags & FLAG.extra) !== 0) await field((await field(2)).readUInt16LE());
  if ((flags & FLAG.name) !== 0) await text();
  if ((flags & FLAG.comment) !== 0) await text();
  if ((flags & FLAG.headerCrc) === 0) return;
  const expected = crc & 0xffff;
  if ((await take(input, 2)).readUInt16LE() !== expected) throw damagedAt(input.offset, 'wrong CRC of the header');
}

/** Reads the trailer of what was inflated. Throws COMPRESSION_CHECKSUM, COMPRESSION_TRUNCATED. */
export async function checkTrailer(input: CompressedInput, crc: number, length: number): Promise<void> {
  const wrong = (what: string): VdiStreamError =>
    new VdiStreamError('COMPRESSION_CHECKSUM', `the gzip stream is damaged: wrong ${what}`, { offset: input.offset });
  if ((await take(input, 4)).readUInt32LE() !== crc >>> 0) throw wrong('CRC');
  if ((await take(input, 4)).readUInt32LE() !== length % 2 ** 32) throw wrong('length');
}

/** Reads zeros to the end of the source. Throws COMPRESSION_TRAILING. */
export async function skipPadding(input: CompressedInput): Promise<void> {
  while (await input.refill()) {
    const { bytes, offset } = input;
    if (!isZero(bytes)) throw trailingAt(offset + bytes.findIndex((byte) => byte !== 0));
    input.skip(bytes.length);
  }
}

export const trailingAt = (offset: number): VdiStreamError =>
  new VdiStreamError('COMPRESSION_TRAILING', 'other data follows the gzip stream', { offset });

/**
 * Which extra field says how long a member is. BGZF (SAM/BAM format specification, 4.1), by bgzip: `BC`, a 16-bit size less one. The one by
 * mgzip and pgzip (their gzip.py): `IG`, a 32-bit size. Both count the whole member.
 */
const SIZED: Readonly<Record<string, (body: Buffer) => number | undefined>> = {
  BC: (body) => (body.length === 2 ? body.readUInt16LE() + 1 : undefined),
  IG: (body) => (body.length === 4 ? body.readUInt32LE() : undefined),
};

export const hasExtra = (header: Uint8Array): boolean => ((header[3] ?? 0) & FLAG.extra) !== 0;

/** Where the extra field of a header ends; undefined if it has none, or something that only the reader of a stream checks. */
export function extraEnd(start: Buffer): number | undefined {
  if (start.length < EXTRA_START || start.readUInt16LE() !== GZIP_MAGIC || start[2] !== DEFLATE) return undefined;
  const flags = start[3] ?? 0;
  if ((flags & ~FLAG.name) !== FLAG.extra) return undefined;
  return EXTRA_START + start.readUInt16LE(10);
}

/** What the extra field, which ends where `header` does, says about the size of the member. */
export function sizeOf(header: Buffer): number | undefined {
  for (let at = EXTRA_START; at + 4 <= header.length; ) {
    const end = at + 4 + header.readUInt16LE(at + 2);
    if (end > header.length) return undefined;
    const size = SIZED[header.toString('latin1', at, at + 2)]?.(header.subarray(at + 4, end));
    if (size !== undefined) return size >= header.length + TRAILER ? size : undefined;
    at = end;
  }
  return undefined;
}

/** Where the deflate data of a whole member lies, and how many bytes it inflates to, says its trailer. `extra` is its `extraEnd`. */
export function deflateRange(
  member: Buffer,
  extra: number,
): { readonly start: number; readonly end: number; readonly length: number } | undefined {
  const hasName = ((member[3] ?? 0) & FLAG.name) !== 0;
  const start = hasName ? member.indexOf(0, extra) + 1 : extra;
  const end = member.length - TRAILER;
  if (start < extra || start > end) return undefined;
  return { start, end, length: member.readUInt32LE(end + 4) };
}

/** Bytes in front of the deflate data of a member that `frame` makes. */
export const FRAME_START = EXTRA_START + 8;
export const FRAME_END = TRAILER;

/**
 * Writes the header and the trailer of a member around its deflate data, which begins at FRAME_START. No name, no time, no system: the same
 * input makes the same bytes. The extra field is that of mgzip and pgzip, so that they too inflate its members on all cores, and any other
 * gunzip ignores it. Members of 1 MiB of input: in BGZF, which bgzip could read on all cores, members have at most 64 KiB, and on a tar of
 * /usr were 1.1 to 3.1 % larger, depending on the level, against 0.1 to 0.3 % here.
 */
export function frame(member: Buffer, deflated: number, crc: number, length: number): Buffer {
  const size = FRAME_START + deflated + FRAME_END;
  member.writeUInt16LE(GZIP_MAGIC, 0);
  member[2] = DEFLATE;
  member[3] = FLAG.extra;
  member.fill(0, 4, 9);
  member[9] = 255; // an unknown system
  member.writeUInt16LE(8, 10);
  member.write('IG', EXTRA_START, 'latin1');
  member.writeUInt16LE(4, EXTRA_START + 2);
  member.writeUInt32LE(size, EXTRA_START + 4);
  member.writeUInt32LE(crc >>> 0, size - 8);
  member.writeUInt32LE(length, size - 4);
  return member.subarray(0, size);
}
