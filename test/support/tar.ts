/** Archives made by hand, so that no test leans on the reader; also what no tar program writes any more, or never should have. */

const BLOCK = 512;

export interface HandHeader {
  readonly name?: string;
  /** A number is written in octal; a string or bytes are put into the field unchanged. */
  readonly size?: number | string | Uint8Array;
  readonly type?: string;
  readonly linkname?: string;
  readonly prefix?: string;
  /** Bytes 257 to 264; POSIX by default. Empty for the format of Unix V7. */
  readonly magic?: string;
  /** The checksum of old Sun tars, which summed signed bytes. */
  readonly signed?: boolean;
  /** Further bytes, by offset. */
  readonly at?: Readonly<Record<number, string | Uint8Array>>;
}

export function tarHeader(options: HandHeader = {}): Buffer {
  const { name = 'disk.vhd', size = 0, type = '0', linkname = '', prefix = '', magic = 'ustar\x0000', signed = false } = options;
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 100, 'utf8');
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  if (typeof size === 'number') header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  else if (typeof size === 'string') header.write(size, 124, 12, 'latin1');
  else header.set(size, 124);
  header.write('00000000000\0', 136);
  header.write(type, 156, 1, 'latin1');
  header.write(linkname, 157, 100, 'utf8');
  header.write(magic, 257, 'latin1');
  header.write(prefix, 345, 155, 'utf8');
  for (const [offset, bytes] of Object.entries(options.at ?? {})) header.set(Buffer.from(bytes), Number(offset));
  return sealTar(header, signed);
}

/** Makes the checksum right. */
export function sealTar(header: Buffer, signed = false): Buffer {
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + (signed && byte > 127 ? byte - 256 : byte), 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
  return header;
}

/** GNU's base-256 size: first bit set, then big-endian two's complement. */
export function base256(value: bigint): Buffer {
  const field = Buffer.alloc(12);
  const bits = BigInt.asUintN(96, value);
  field.writeUInt32BE(Number(bits >> 64n), 0);
  field.writeBigUInt64BE(BigInt.asUintN(64, bits), 4);
  field[0] = (field[0] ?? 0) | 0x80;
  return field;
}

/** The zeros after a body of `length` bytes. */
export const tarPadding = (length: number): Buffer => Buffer.alloc((BLOCK - (length % BLOCK)) % BLOCK);

export const tarMember = (header: HandHeader, body: Uint8Array): Buffer =>
  Buffer.concat([tarHeader({ size: body.length, ...header }), body, tarPadding(body.length)]);

/** One pax record, "LENGTH KEY=VALUE\n"; the length counts itself. */
export function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  while (rest + String(length).length !== length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

/** A pax header with these records, or with the text as it is. */
export function paxHeader(records: Readonly<Record<string, string>> | string, type: 'x' | 'g' = 'x'): Buffer {
  const text =
    typeof records === 'string'
      ? records
      : Object.entries(records)
          .map(([key, value]) => paxRecord(key, value))
          .join('');
  return tarMember({ name: 'PaxHeaders/x', type }, Buffer.from(text));
}

export const TAR_END = Buffer.alloc(2 * BLOCK);

/** A plain archive; a name that ends with a slash is a directory. */
export const tarOf = (members: ReadonlyArray<readonly [name: string, body: Uint8Array]>): Buffer =>
  Buffer.concat([...members.map(([name, body]) => tarMember({ name, type: name.endsWith('/') ? '5' : '0' }, body)), TAR_END]);
