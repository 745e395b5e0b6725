/**
 * One tar header: 512 bytes, numbers in octal text.
 *
 *     0 100  name              124  12  size, octal, or base-256     257   6  "ustar\0" (POSIX) or "ustar " (GNU)
 *   100   8  mode              136  12  mtime (not read)             345 155  name prefix, POSIX only
 *   108  16  uid, gid          148   8  checksum
 *   124  12  size              156   1  type                         157 100  link name
 *
 * Checksum: the sum of all bytes, with its own field as spaces; old Sun tars summed signed bytes. For sizes over 8 GiB, GNU tar uses base-256
 * (first bit set, then big-endian two's complement), and POSIX pax records.
 */

import { checkArguments } from '../block-arguments.ts';
import { startsWith } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';

export const TAR_BLOCK = 512;

/** The type of a header. `other` is an unknown type, which is skipped like a file, as POSIX requires. */
export type TarType =
  | 'file'
  | 'directory'
  | 'link'
  | 'special'
  | 'sparse'
  | 'volume'
  | 'label'
  | 'longname'
  | 'longlink'
  | 'pax'
  | 'global'
  | 'other';

interface TarHeader {
  readonly name: string;
  /** Bytes of the body that follows in the archive; undefined if the field is not a number. Then a pax record must have the size. */
  readonly size: number | undefined;
  readonly type: TarType;
}

const TYPE_FLAGS: Readonly<Record<string, TarType>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'link',
  '3': 'special',
  '4': 'special',
  '5': 'directory',
  '6': 'special',
  S: 'sparse',
  M: 'volume',
  V: 'label',
  L: 'longname',
  K: 'longlink',
  x: 'pax',
  X: 'pax',
  g: 'global',
};

/** Whether 512 bytes are a tar header. The checksum rules out accidental matches. */
export function isTarHeader(block: Uint8Array): boolean {
  checkArguments('isTarHeader', block);
  if (block.length < TAR_BLOCK) return false;
  const stored = octal(block.subarray(148, 156));
  if (stored === undefined) return false;
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < TAR_BLOCK; at++) {
    const value = at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0);
    unsigned += value;
    signed += value > 127 ? value - 256 : value;
  }
  return stored === unsigned || stored === signed;
}

/** Reads the header at byte `offset` of the archive. Throws TAR_HEADER or TAR_SIZE. */
export function parseTarHeader(block: Uint8Array, offset: number): TarHeader {
  if (!isTarHeader(block)) throw new VdiStreamError('TAR_HEADER', 'the checksum of the tar header is wrong', { offset });
  const type = TYPE_FLAGS[String.fromCharCode(block[156] ?? 0)] ?? 'other';
  const name = text(block.subarray(0, 100));
  const prefix = startsWith(block, 'ustar\0', 257) ? text(block.subarray(345, 500)) : '';
  const path = prefix === '' ? name : `${prefix}/${name}`;
  // Before POSIX, a directory was a file with a name that ends in a slash.
  const directory = type === 'file' && path.endsWith('/');
  return { name: path, type: directory ? 'directory' : type, size: bodySize(block.subarray(124, 136), type, offset) };
}

function bodySize(field: Uint8Array, type: TarType, offset: number): number | undefined {
  // These have no body, and may use the size field for something else.
  if (type === 'link' || type === 'special' || type === 'directory') return 0;
  const size = (field[0] ?? 0) >= 0x80 ? base256(field) : octal(field);
  if (size !== undefined && (size < 0 || size > Number.MAX_SAFE_INTEGER)) {
    throw new VdiStreamError('TAR_SIZE', `the size of this member, ${size} bytes, is invalid`, { offset: offset + 124 });
  }
  return size;
}

function octal(field: Uint8Array): number | undefined {
  const digits = text(field).trim();
  if (digits === '') return 0;
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

function base256(field: Uint8Array): number {
  const negative = field[0] === 0xff;
  let value = negative ? -1 : (field[0] ?? 0) & 0x7f;
  for (const byte of field.subarray(1)) value = value * 256 + byte;
  return value;
}

/** Bytes up to the first NUL, as UTF-8. */
export function text(field: Uint8Array): string {
  const end = field.indexOf(0);
  return Buffer.from(end < 0 ? field : field.subarray(0, end)).toString('utf8');
}
