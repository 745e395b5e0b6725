/**
 * Mutations of images, as plain data that fast-check can generate, shrink and print. The interesting ones are not noise: they
 * put a boundary value into a known field and make the checksum right again, so that the value reaches the code after that check.
 */

import fc from 'fast-check';
import { sealTar } from '../test/support/tar.ts';

export type Mutation =
  | { readonly kind: 'flip'; readonly at: number; readonly bit: number }
  | { readonly kind: 'put'; readonly at: number; readonly width: 1 | 2 | 4 | 8; readonly value: bigint }
  | { readonly kind: 'truncate'; readonly at: number }
  | { readonly kind: 'duplicate' | 'remove'; readonly at: number; readonly length: number }
  | { readonly kind: 'splice'; readonly at: number; readonly from: number; readonly length: number }
  | { readonly kind: 'insert'; readonly at: number; readonly length: number; readonly byte: number }
  | { readonly kind: 'vhd'; readonly field: keyof typeof VHD_FIELDS; readonly copy: 'front' | 'end' | 'both'; readonly value: bigint }
  | { readonly kind: 'bat'; readonly entry: number; readonly sector: number }
  | { readonly kind: 'tar'; readonly header: number; readonly field: keyof typeof TAR_FIELDS; readonly text: string }
  | { readonly kind: 'gzip'; readonly field: keyof typeof GZIP_FIELDS; readonly value: number };

/** Offset and width. Those of the header are 1024 bytes at 512, where all seeds have it. */
const VHD_FIELDS = {
  cookie: [0, 8],
  features: [8, 4],
  version: [12, 4],
  dataOffset: [16, 8],
  size: [48, 8],
  geometry: [56, 4],
  type: [60, 4],
  id: [68, 8],
  saved: [84, 1],
  headerCookie: [512, 8],
  tableOffset: [528, 8],
  headerVersion: [536, 4],
  tableEntries: [540, 4],
  blockSize: [544, 4],
} as const;

const TAR_FIELDS = { name: [0, 100], size: [124, 12], type: [156, 1], linkname: [157, 100], magic: [257, 8], prefix: [345, 155] } as const;

/** From the start, or from the end where negative. */
const GZIP_FIELDS = { magic: 0, magic2: 1, method: 2, flags: 3, crc: -8, length: -4, length4: -1 } as const;

const keys = <T extends object>(table: T): fc.Arbitrary<keyof T> => fc.constantFrom(...(Object.keys(table) as Array<keyof T>));

/** Numbers at which something changes: signs, widths, exactness, sectors, the sizes that the seeds have. */
const boundary: fc.Arbitrary<bigint> = fc.oneof(
  fc
    .tuple(
      fc.constantFrom(0, 8, 9, 10, 12, 16, 20, 21, 28, 30, 31, 32, 33, 40, 41, 42, 50, 52, 53, 62, 63, 64),
      fc.constantFrom(-512, -1, 0, 1, 511, 512),
    )
    .map(([power, more]) => BigInt.asUintN(64, 2n ** BigInt(power) + BigInt(more))),
  fc.integer({ min: 0, max: 300 }).map((sectors) => BigInt(sectors * 512)),
  fc.integer({ min: 0, max: 20 }).map(BigInt),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);

/** A place: mostly in the metadata at the front or in the end, where a byte means much. */
const place = fc.oneof(fc.nat(2100), fc.nat(1 << 22), fc.integer({ min: -1100, max: -1 }));
const length = fc.oneof(fc.constantFrom(1, 511, 512, 513, 1024, 1536, 4096), fc.nat(70_000));

const general: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: place, bit: fc.nat(7) }),
  fc.record({
    kind: fc.constant('put' as const),
    at: place,
    width: fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const),
    value: boundary,
  }),
  fc.record({ kind: fc.constant('truncate' as const), at: place }),
  fc.record({ kind: fc.constantFrom('duplicate' as const, 'remove' as const), at: place, length }),
  fc.record({ kind: fc.constant('splice' as const), at: place, from: place, length }),
  fc.record({ kind: fc.constant('insert' as const), at: place, length, byte: fc.constantFrom(0, 0x1f, 0x20, 0x30, 0xff) }),
);

export const vhdMutation: fc.Arbitrary<Mutation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('vhd' as const),
      field: keys(VHD_FIELDS),
      copy: fc.constantFrom('front', 'end', 'both'),
      value: boundary,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('bat' as const),
      entry: fc.nat(40),
      sector: fc.oneof(fc.nat(300), fc.constantFrom(0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0x00ffffff)),
    }),
  },
  { weight: 2, arbitrary: general },
);

const octal = boundary.map((value) => value.toString(8).padStart(11, '0').slice(-12));
const base256 = fc.tuple(fc.constantFrom(0x80, 0xff, 0xbf, 0xc0), boundary).map(([first, value]) => {
  const field = Buffer.alloc(12, first >= 0xc0 ? 0xff : 0);
  field.writeBigUInt64BE(value, 4);
  field[0] = first;
  return field.toString('latin1');
});

export const tarMutation: fc.Arbitrary<Mutation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('tar' as const),
      header: fc.nat(6),
      field: keys(TAR_FIELDS),
      text: fc.oneof(
        octal,
        base256,
        fc.constantFrom(...'\x013567LKxgXSMVN', '', 'ustar  \0', 'swap.vhd', 'x.vhd', 'x.vhd/', '../x.vhd'),
        fc.string({ maxLength: 12 }),
      ),
    }),
  },
  { weight: 2, arbitrary: general },
);

export const gzipMutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant('gzip' as const), field: keys(GZIP_FIELDS), value: fc.nat(255) }),
  general,
);

/** Applies `mutations` in turn. A splice copies from `other`. The result is never longer than 16 MiB. */
export function mutate(bytes: Uint8Array, mutations: readonly Mutation[], other: Uint8Array = bytes): Buffer {
  let mutated = Buffer.from(bytes);
  for (const mutation of mutations) if (mutated.length < 16 << 20) mutated = apply(mutated, mutation, other);
  return mutated;
}

/** `place` within `size` bytes; a negative one counts from the end. */
const within = (size: number, at: number): number => (size === 0 ? 0 : ((at % size) + size) % size);

function apply(bytes: Buffer<ArrayBuffer>, mutation: Mutation, other: Uint8Array): Buffer<ArrayBuffer> {
  switch (mutation.kind) {
    case 'flip': {
      const at = within(bytes.length, mutation.at);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << mutation.bit);
      return bytes;
    }
    case 'put':
      put(bytes, within(bytes.length, mutation.at), mutation.width, mutation.value);
      return bytes;
    case 'truncate':
      return bytes.subarray(0, within(bytes.length, mutation.at));
    case 'duplicate': {
      const at = within(bytes.length, mutation.at);
      return Buffer.concat([bytes.subarray(0, at + mutation.length), bytes.subarray(at)]);
    }
    case 'remove': {
      const at = within(bytes.length, mutation.at);
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + mutation.length)]);
    }
    case 'splice': {
      const at = within(bytes.length, mutation.at);
      const from = within(other.length, mutation.from);
      return Buffer.concat([bytes.subarray(0, at), other.subarray(from, from + mutation.length), bytes.subarray(at)]);
    }
    case 'insert': {
      const at = within(bytes.length, mutation.at);
      return Buffer.concat([bytes.subarray(0, at), Buffer.alloc(mutation.length, mutation.byte), bytes.subarray(at)]);
    }
    case 'vhd':
      return setVhd(bytes, mutation.field, mutation.copy, mutation.value);
    case 'bat':
      put(bytes, 1536 + mutation.entry * 4, 4, BigInt(mutation.sector));
      return bytes;
    case 'tar':
      return setTar(bytes, mutation.header, mutation.field, mutation.text);
    case 'gzip': {
      const at = GZIP_FIELDS[mutation.field];
      bytes[at < 0 ? bytes.length + at : at] = mutation.value;
      return bytes;
    }
  }
}

function put(bytes: Buffer, at: number, width: number, value: bigint): void {
  const field = Buffer.alloc(8);
  field.writeBigUInt64BE(BigInt.asUintN(64, value));
  bytes.set(field.subarray(8 - width).subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length));
}

function setVhd(
  bytes: Buffer<ArrayBuffer>,
  field: keyof typeof VHD_FIELDS,
  copy: 'front' | 'end' | 'both',
  value: bigint,
): Buffer<ArrayBuffer> {
  if (bytes.length < 1536) return bytes;
  const [at, width] = VHD_FIELDS[field];
  const header = bytes.subarray(512, 1536);
  const footers = [...(copy === 'end' ? [] : [bytes.subarray(0, 512)]), ...(copy === 'front' ? [] : [bytes.subarray(-512)])];
  if (at >= 512) {
    put(header, at - 512, width, value);
    sealVhd(header, 36);
  } else {
    for (const footer of footers) {
      if (footer.toString('latin1', 0, 8) !== 'conectix') continue; // a fixed disk has none in front
      put(footer, at, width, value);
      sealVhd(footer, 64);
    }
  }
  return bytes;
}

function sealVhd(bytes: Buffer, at: number): void {
  bytes.writeUInt32BE(0, at);
  bytes.writeUInt32BE(~bytes.reduce((sum, byte) => sum + byte, 0) >>> 0, at);
}

function setTar(bytes: Buffer<ArrayBuffer>, header: number, field: keyof typeof TAR_FIELDS, text: string): Buffer<ArrayBuffer> {
  const headers: Buffer[] = [];
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    if (bytes.toString('latin1', at + 257, at + 262) === 'ustar') headers.push(bytes.subarray(at, at + 512));
  }
  const found = headers[header % Math.max(1, headers.length)];
  if (found === undefined) return bytes;
  const [at, width] = TAR_FIELDS[field];
  found.fill(0, at, at + width);
  found.write(text, at, width, 'latin1');
  sealTar(found);
  return bytes;
}
