/** VHDs that no producer meant: one field, one entry or one cut each, and the code that each is to be refused with. */

import { noise } from '../chunks.ts';
import { dynamicVhd, fixedVhd, makeFooter } from '../make-vhd.mjs';
import { batmapOffset, type Change, entryOf, tableOffset, withBytes, withEntry, withFooters, withHeader } from '../patch.ts';
import { createStack, SECTOR, type Stack } from '../vhd-model.ts';
import { type Image, madeImage } from './image.ts';
import { onlyVhd } from './vhds.ts';

const BLOCK = 64 << 10;
const EACH = BLOCK / SECTOR;
/** A block and its bitmap, in sectors. */
const STEP = EACH + 1;

/** Four blocks and half of one, of which the third is absent, in a table of 64 entries. The last block ends the file. */
function base(): Stack {
  const stack = createStack({ kind: 'dynamic', blockSize: BLOCK, size: 4 * EACH + EACH / 2 });
  stack.write(0, EACH);
  stack.write(EACH + 3, 50);
  stack.write(3 * EACH + 1, EACH);
  return stack;
}

const form = { seed: 77, spare: 59 };
const vhd = onlyVhd(base(), form);
const content = base().content();
const data = Buffer.from(noise(32 * SECTOR, 78));
const fixed = fixedVhd(data, 'win ');

const END = vhd.length - SECTOR;
const END_SECTOR = END / SECTOR;

interface Row {
  readonly file: string;
  readonly code: string;
  readonly vhd: () => Buffer;
}

function hostile({ file, code, vhd }: Row): Image {
  return madeImage({
    file: `made/hostile/${file}`,
    code,
    virtualSize: code === 'ok' ? content.length : null,
    ...(code === 'ok' ? { content: () => content } : {}),
    files: () => [['disk.vhd', vhd()]],
    mayDiffer: code === 'ok',
  });
}

type Patch = readonly [file: string, code: string, change: Change];

/** A field of both footers, with their checksums made right again. */
const footerRows = (
  [
    ['type-0', 'VHD_TYPE', (footer) => void footer.writeUInt32BE(0, 60)],
    ['type-5', 'VHD_TYPE', (footer) => void footer.writeUInt32BE(5, 60)],
    ['type-ffffffff', 'VHD_TYPE', (footer) => void footer.writeUInt32BE(0xffffffff, 60)],
    ['type-differencing', 'VHD_DIFFERENCING', (footer) => void footer.writeUInt32BE(4, 60)],
    ['version-2', 'VHD_VERSION', (footer) => void footer.writeUInt32BE(0x00020000, 12)],
    ['saved-state', 'ok', (footer) => void footer.writeUInt8(1, 84)],
    ['timestamp-of-2136', 'ok', (footer) => void footer.writeUInt32BE(0xffffffff, 24)],
    ['size-0', 'VHD_SIZE', (footer) => void footer.writeBigUInt64BE(0n, 48)],
    ['size-plus-511', 'VHD_SIZE', (footer) => void footer.writeBigUInt64BE(BigInt(content.length + 511), 48)],
    ['size-2p53', 'VHD_SIZE', (footer) => void footer.writeBigUInt64BE(2n ** 53n + 512n, 48)],
    ['size-2p64', 'VHD_SIZE', (footer) => void footer.writeBigUInt64BE(2n ** 64n - 1n, 48)],
    ['size-beyond-the-table', 'VHD_TABLE', (footer) => void footer.writeBigUInt64BE(BigInt(64 * BLOCK + SECTOR), 48)],
    ['header-at-0', 'VHD_HEADER_OFFSET', (footer) => void footer.writeBigUInt64BE(0n, 16)],
    ['header-at-256', 'VHD_HEADER_OFFSET', (footer) => void footer.writeBigUInt64BE(256n, 16)],
    ['header-at-513', 'VHD_HEADER_OFFSET', (footer) => void footer.writeBigUInt64BE(513n, 16)],
    ['header-in-a-block', 'VHD_HEADER', (footer) => void footer.writeBigUInt64BE(8192n, 16)],
    ['header-at-the-end-footer', 'SOURCE_TRUNCATED', (footer) => void footer.writeBigUInt64BE(BigInt(END), 16)],
  ] satisfies Patch[]
).map(([file, code, change]) => hostile({ file: `footer-${file}`, code, vhd: () => withFooters(vhd, 'both', change) }));

/** A field of the dynamic header, with its checksum made right again. */
const headerRows = (
  [
    ['cookie', 'VHD_HEADER', (header) => void header.write('cxsparsf', 'latin1')],
    ['version-2', 'VHD_VERSION', (header) => void header.writeUInt32BE(0x00020000, 24)],
    ['table-at-0', 'VHD_TABLE_OFFSET', (header) => void header.writeBigUInt64BE(0n, 16)],
    ['table-in-the-header', 'VHD_TABLE_OFFSET', (header) => void header.writeBigUInt64BE(1024n, 16)],
    ['table-at-2p63', 'VHD_TABLE_OFFSET', (header) => void header.writeBigUInt64BE(2n ** 63n, 16)],
    ['table-at-ff', 'VHD_TABLE_OFFSET', (header) => void header.writeBigUInt64BE(2n ** 64n - 1n, 16)],
    ['no-entries', 'VHD_TABLE', (header) => void header.writeUInt32BE(0, 28)],
    ['an-entry-too-few', 'VHD_TABLE', (header) => void header.writeUInt32BE(4, 28)],
    // The table would reach over the blocks; nothing may be allocated for it.
    ['entries-3fffffff', 'VHD_BLOCK_METADATA', (header) => void header.writeUInt32BE(0x3fffffff, 28)],
    ['entries-ffffffff', 'VHD_BLOCK_METADATA', (header) => void header.writeUInt32BE(0xffffffff, 28)],
    ['block-size-0', 'VHD_BLOCK_SIZE', (header) => void header.writeUInt32BE(0, 32)],
    ['block-size-511', 'VHD_BLOCK_SIZE', (header) => void header.writeUInt32BE(511, 32)],
    ['block-size-512', 'VHD_TABLE', (header) => void header.writeUInt32BE(512, 32)],
    ['block-size-1000', 'VHD_BLOCK_SIZE', (header) => void header.writeUInt32BE(1000, 32)],
    ['block-size-3M', 'VHD_BLOCK_SIZE', (header) => void header.writeUInt32BE(3 << 20, 32)],
    ['block-size-1G', 'VHD_BLOCK_SIZE', (header) => void header.writeUInt32BE(1 << 30, 32)],
    ['block-size-ffffffff', 'VHD_BLOCK_SIZE', (header) => void header.writeUInt32BE(0xffffffff, 32)],
    ['block-size-doubled', 'VHD_BLOCK_OVERLAP', (header) => void header.writeUInt32BE(2 * BLOCK, 32)],
  ] satisfies Patch[]
).map(([file, code, change]) => hostile({ file: `header-${file}`, code, vhd: () => withHeader(vhd, change) }));

/** Where the table says that the second block stands. */
const entryRows = (
  [
    ['0', 'VHD_BLOCK_METADATA', 0],
    ['1', 'VHD_BLOCK_METADATA', 1],
    ['2', 'VHD_BLOCK_METADATA', 2],
    ['far-past-the-end', 'VHD_BLOCK_RANGE', 0x100000],
    ['80000000', 'VHD_BLOCK_RANGE', 0x80000000],
    ['fffffffe', 'VHD_BLOCK_RANGE', 0xfffffffe],
    ['at-the-end-of-the-file', 'VHD_BLOCK_RANGE', END_SECTOR + 1],
    ['at-the-end-footer', 'VHD_BLOCK_RANGE', END_SECTOR],
    ['of-another-block', 'VHD_BLOCK_OVERLAP', entryOf(vhd, 0)],
    ['inside-another-block', 'VHD_BLOCK_OVERLAP', entryOf(vhd, 0) + 1],
  ] as const
).map(([file, code, sector]) => hostile({ file: `entry-${file}`, code, vhd: () => withEntry(vhd, 1, sector) }));

const tableRows = [
  hostile({ file: 'entries-all-0', code: 'VHD_BLOCK_METADATA', vhd: () => withBytes(vhd, (bytes) => bytes.fill(0, 1536, 2048)) }),
  hostile({ file: 'entry-beyond-the-disk-past-the-end', code: 'ok', vhd: () => withEntry(vhd, 60, 0x100000) }),
  hostile({ file: 'bomb-of-2040G-in-one-block', code: 'VHD_BLOCK_OVERLAP', vhd: bomb }),
  hostile({ file: 'table-of-8-Mi-entries', code: 'VHD_TABLE_LARGE', vhd: largeTable }),
  hostile({ file: 'encrypted', code: 'VHD_ENCRYPTED', vhd: encrypted }),
  // Its bitmap is data now, so what the disk holds is anybody's guess.
  {
    ...hostile({ file: 'last-block-into-the-end-footer', code: 'ok', vhd: () => withEntry(vhd, 4, entryOf(vhd, 4) + 1) }),
    expect: 'error' as const,
    sha256raw: null,
  },
];

/** A table of 4 MiB whose every entry names the same block. */
function bomb(): Buffer {
  const file = dynamicVhd({ size: 2040 * 2 ** 30, blocks: new Map([[0, noise(4096, 1)]]) });
  const first = entryOf(file, 0);
  for (let block = 0; block < file.readUInt32BE(512 + 28); block++) file.writeUInt32BE(first, tableOffset(file) + block * 4);
  return file;
}

function largeTable(): Buffer {
  const sized = withFooters(vhd, 'both', (footer) => void footer.writeBigUInt64BE(BigInt(2 ** 23 * SECTOR), 48));
  return withHeader(sized, (header) => {
    header.writeUInt32BE(2 ** 23, 28);
    header.writeUInt32BE(SECTOR, 32);
  });
}

/** tapdisk's own encryption, which its batmap tells of. */
function encrypted(): Buffer {
  const file = onlyVhd(base(), { ...form, batmap: true });
  return withBytes(file, (bytes) => void bytes.writeUInt8(1, batmapOffset(file) + 29));
}

/** Footers and their copies that are damaged or disagree. */
const footerPairs = [
  hostile({
    file: 'end-footer-bad-sum',
    code: 'ok',
    vhd: () => withFooters(vhd, 'end', (footer) => void footer.writeUInt8(1, 200), false),
  }),
  hostile({
    file: 'both-footers-flipped-bit',
    code: 'VHD_FOOTER_CHECKSUM',
    vhd: () => withFooters(vhd, 'both', (footer) => void footer.writeUInt8(1, 200), false),
  }),
  hostile({
    file: 'both-footers-no-cookie',
    code: 'FORMAT_UNKNOWN',
    vhd: () => withFooters(vhd, 'both', (footer) => footer.fill(0, 0, 8)),
  }),
  hostile({
    file: 'footers-of-two-sizes',
    code: 'VHD_FOOTERS_DIFFER',
    vhd: () => withFooters(vhd, 'end', (footer) => void footer.writeBigUInt64BE(BigInt(content.length + SECTOR), 48)),
  }),
  hostile({
    file: 'footers-of-two-types',
    code: 'VHD_FOOTERS_DIFFER',
    vhd: () => withFooters(vhd, 'end', (footer) => void footer.writeUInt32BE(4, 60)),
  }),
  hostile({
    file: 'header-bad-sum',
    code: 'VHD_HEADER_CHECKSUM',
    vhd: () => withHeader(vhd, (header) => void header.writeUInt8(1, 900), false),
  }),
];

/** Cut short, or with something after the end. */
const cutRows = (
  [
    ['cut-to-nothing', 'SOURCE_EMPTY', () => Buffer.alloc(0)],
    ['cut-to-1', 'FORMAT_UNKNOWN', () => vhd.subarray(0, 1)],
    ['cut-to-511', 'SOURCE_TRUNCATED', () => vhd.subarray(0, 511)],
    ['cut-in-the-header', 'SOURCE_TRUNCATED', () => vhd.subarray(0, 1000)],
    ['cut-in-the-table', 'SOURCE_TRUNCATED', () => vhd.subarray(0, 1540)],
    ['cut-in-the-last-block', 'VHD_BLOCK_RANGE', () => vhd.subarray(0, END - (STEP >> 2) * 3 * SECTOR)],
    // As `vhd-util fill -b` leaves it: the table and the bitmaps are there, the last block and the footer are not.
    ['cut-before-the-last-block', 'VHD_BLOCK_RANGE', () => vhd.subarray(0, (entryOf(vhd, 4) + 1) * SECTOR)],
    ['cut-by-one-byte', 'ok', () => vhd.subarray(0, -1)],
    ['cut-by-the-end-footer', 'ok', () => vhd.subarray(0, -SECTOR)],
    ['trailing-1-byte', 'ok', () => Buffer.concat([vhd, Buffer.alloc(1)])],
    ['trailing-100-zeros', 'ok', () => Buffer.concat([vhd, Buffer.alloc(100)])],
    ['trailing-4096-zeros', 'ok', () => Buffer.concat([vhd, Buffer.alloc(4096)])],
    ['trailing-footer', 'ok', () => Buffer.concat([vhd, vhd.subarray(-SECTOR)])],
  ] as const
).map(([file, code, cut]) => hostile({ file, code, vhd: cut }));

const fixedRows = [
  hostile({
    file: 'fixed-bad-sum',
    code: 'VHD_FOOTER_CHECKSUM',
    vhd: () => withFooters(fixed, 'end', (footer) => void footer.writeUInt8(1, 200), false),
  }),
  hostile({ file: 'fixed-without-footer', code: 'FORMAT_UNKNOWN', vhd: () => data }),
  hostile({ file: 'fixed-short', code: 'SOURCE_TRUNCATED', vhd: () => fixed.subarray(8 * SECTOR) }),
  hostile({ file: 'fixed-of-nothing', code: 'SOURCE_TRUNCATED', vhd: () => makeFooter({ size: data.length, type: 2 }) }),
  hostile({
    file: 'fixed-that-says-dynamic',
    code: 'VHD_TYPE',
    vhd: () => withFooters(fixed, 'end', (footer) => void footer.writeUInt32BE(3, 60)),
  }),
];

export const hostileVhds = (): Image[] => [
  ...footerRows,
  ...headerRows,
  ...entryRows,
  ...tableRows,
  ...footerPairs,
  ...cutRows,
  ...fixedRows,
];
