/** Gzip members made field by field (RFC 1952, 2.3), with headers that no program writes. */

import { crc32, deflateRawSync } from 'node:zlib';

export interface MemberFields {
  readonly extra?: Uint8Array;
  readonly name?: string;
  readonly comment?: string;
  readonly headerCrc?: boolean;
  readonly level?: number;
  readonly crc?: number;
  readonly length?: number;
  readonly deflated?: Uint8Array;
}

/** A subfield of the extra field. */
export function subfield(id: string, body: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.write(id, 'latin1');
  head.writeUInt16LE(body.length, 2);
  return Buffer.concat([head, body]);
}

export const le32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};

export const le16 = (value: number): Buffer => le32(value).subarray(0, 2);

export function gzipMember(content: Uint8Array, fields: MemberFields = {}): Buffer {
  const { extra, name, comment, headerCrc = false, level = 6, crc = crc32(content), length = content.length } = fields;
  const flags = (headerCrc ? 2 : 0) | (extra ? 4 : 0) | (name === undefined ? 0 : 8) | (comment === undefined ? 0 : 16);
  const parts: Uint8Array[] = [Buffer.from([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255])];
  if (extra !== undefined) parts.push(le16(extra.length), Buffer.from(extra));
  for (const text of [name, comment]) if (text !== undefined) parts.push(Buffer.from(`${text}\0`, 'latin1'));
  const header = Buffer.concat(parts);
  const sum = headerCrc ? le16(crc32(header) & 0xffff) : Buffer.alloc(0);
  return Buffer.concat([header, sum, fields.deflated ?? deflateRawSync(content, { level }), le32(crc), le32(length)]);
}

/** A member whose extra field says a size: the true one plus `error`. */
export function sizedMember(content: Uint8Array, id: 'IG' | 'BC', error = 0, fields: MemberFields = {}): Buffer {
  const width = id === 'IG' ? 4 : 2;
  const made = (body: Uint8Array): Buffer => gzipMember(content, { ...fields, extra: subfield(id, body) });
  const size = made(Buffer.alloc(width)).length + error;
  return made(id === 'IG' ? le32(size) : le16(size - 1));
}
