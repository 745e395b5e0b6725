/**
 * The header of a dynamic or differencing VHD: 1024 bytes, big-endian, at the footer's data offset.
 *
 *     0  8  cookie "cxsparse"          28  4  max table entries        40  .. parent id, time, name (differencing)
 *     8  8  all ff                     32  4  block size, bytes       576  .. eight parent locators
 *    16  8  table (BAT) offset         36  4  checksum                768 256 reserved
 *    24  4  version 0x00010000
 *
 * Parent: 40 16 unique id, 56 4 seconds since 2000-01-01, 64 512 name in UTF-16 (big-endian by the specification).
 *
 * blocks needed = ceil(virtual size / block size) <= max table entries. A longer table is normal: LVHD preallocates one for 2 TiB. The
 * surplus entries have no meaning.
 */

import { hex, MiB, SECTOR, startsWith, u32be, u64be } from '../bytes.ts';
import type { Parent } from '../disk/disk.ts';
import { type ErrorCode, type OnFault, refuse, VdiStreamError } from '../errors.ts';
import { checksum, FOOTER_SIZE, type Footer } from './footer.ts';

export const HEADER_SIZE = 1024;
const MAX_BLOCK_SIZE = 256 * MiB;
/**
 * 2 TiB, the reach of a 32-bit sector number, in 512 KiB blocks. It limits a hostile table to 16 MiB of memory, and sorting it to 32 MiB.
 */
export const MAX_BLOCKS = 4 * MiB;
const DEFAULT_BLOCK = 2 * MiB;

export interface Header {
  /** Major version × 65536 + minor version. */
  readonly version: number;
  /** Byte offset of the BAT. */
  readonly tableOffset: number;
  /** Entries in the table; only the first `blocks` of them are used. */
  readonly tableEntries: number;
  /** Bytes, a power of two. */
  readonly blockSize: number;
  /** Blocks that the virtual size needs. */
  readonly blocks: number;
  /** Only of a differencing disk. */
  readonly parent: Parent | undefined;
  /** Only of a differencing disk. */
  readonly locators: readonly Locator[];
  /** All 1024, as found. */
  readonly bytes: Uint8Array;
}

/** Where the path of the parent is stored, in one of its forms. */
interface Locator {
  readonly index: number;
  /** Byte offset of its entry in the header. */
  readonly entry: number;
  /** Four letters. */
  readonly kind: string;
  /** Byte offset in the file. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  /** Bytes set aside, or, by ocaml-vhd and vhd-lib, sectors. */
  readonly space: number;
}

/** Byte offset of the header. Throws VHD_HEADER_OFFSET. */
export function headerOffset(footer: Footer): number {
  const at = footer.dataOffset;
  if (at < FOOTER_SIZE || at % SECTOR !== 0 || at > Number.MAX_SAFE_INTEGER - HEADER_SIZE) {
    throw new VdiStreamError('VHD_HEADER_OFFSET', `the dynamic header cannot be at byte ${at}, as the footer says`, { offset: 16 });
  }
  return at;
}

/** A wrong checksum or version goes to `fault`. Throws VHD_HEADER, VHD_BLOCK_SIZE and the VHD_TABLE… codes. */
export function parseHeader(bytes: Uint8Array, footer: Footer, fault: OnFault = refuse): Header {
  const wrong = (code: ErrorCode, message: string, field: number): VdiStreamError =>
    new VdiStreamError(code, message, { offset: footer.dataOffset + field });
  if (!startsWith(bytes, 'cxsparse')) throw wrong('VHD_HEADER', 'no dynamic header: the cookie "cxsparse" is missing', 0);
  if (u32be(bytes, 36) !== checksum(bytes, 36)) fault(wrong('VHD_HEADER_CHECKSUM', 'the checksum of the dynamic header is wrong', 36));
  const version = u32be(bytes, 24);
  if (version >>> 16 !== 1) fault(wrong('VHD_VERSION', `version ${version >>> 16} of the dynamic header is not supported, only 1`, 24));

  const blockSize = u32be(bytes, 32);
  if (blockSize < SECTOR || blockSize > MAX_BLOCK_SIZE || !Number.isInteger(Math.log2(blockSize))) {
    throw wrong('VHD_BLOCK_SIZE', `the block size is ${blockSize} bytes, not a power of two from 512 bytes to 256 MiB`, 32);
  }
  const tableEntries = u32be(bytes, 28);
  const blocks = Math.ceil(footer.virtualSize / blockSize);
  if (blocks > tableEntries) {
    throw wrong('VHD_TABLE', `the BAT has ${tableEntries} entries, but the disk needs ${blocks}`, 28);
  }
  if (blocks > MAX_BLOCKS) {
    const message = `the disk has ${blocks} blocks of ${blockSize} bytes, but at most ${MAX_BLOCKS} blocks are supported`;
    // Blocks of 2 MiB suffice for 8 TiB, four times what a VHD can hold (Microsoft, Virtual Hard Disk Image Format Specification).
    const advice = blockSize < DEFAULT_BLOCK ? undefined : 'No VHD can be that large: the image is damaged. Fetch or export it again.';
    throw new VdiStreamError('VHD_TABLE_LARGE', message, { offset: footer.dataOffset + 32, advice });
  }
  const tableOffset = u64be(bytes, 16);
  const inFooter = tableOffset < FOOTER_SIZE;
  const inHeader = tableOffset > footer.dataOffset - SECTOR && tableOffset < footer.dataOffset + HEADER_SIZE;
  if (inFooter || inHeader || tableOffset % SECTOR !== 0 || tableOffset > Number.MAX_SAFE_INTEGER / 2) {
    throw wrong('VHD_TABLE_OFFSET', `the BAT cannot be at byte ${tableOffset}, as the dynamic header says`, 16);
  }
  const parent = footer.type === 'differencing' ? parseParent(bytes) : undefined;
  const locators = footer.type === 'differencing' ? parseLocators(bytes) : [];
  return { version, tableOffset, tableEntries, blockSize, blocks, parent, locators, bytes };
}

/** Eight entries of 24 bytes each, from byte 576 on: kind, space, length, reserved, offset. */
function parseLocators(bytes: Uint8Array): Locator[] {
  const locators = Array.from({ length: 8 }, (_, index) => {
    const entry = 576 + index * 24;
    return {
      index,
      entry,
      kind: Buffer.from(bytes.subarray(entry, entry + 4)).toString('latin1'),
      space: u32be(bytes, entry + 4),
      length: u32be(bytes, entry + 8),
      offset: u64be(bytes, entry + 16),
    };
  });
  return locators.filter(({ entry }) => u32be(bytes, entry) !== 0);
}

function parseParent(bytes: Uint8Array): Parent {
  const name = Buffer.from(bytes.subarray(64, 576)).swap16().toString('utf16le');
  const end = name.indexOf('\0');
  return {
    uniqueId: hex(bytes.subarray(40, 56)),
    timestamp: u32be(bytes, 56),
    name: (end < 0 ? name : name.slice(0, end)).replace(/[^\x20-\x7e\xa0-\ud7ff]/g, '?'),
  };
}
