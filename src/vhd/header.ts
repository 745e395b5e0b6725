/**
 * The header of a dynamic or differencing VHD: 1024 bytes, big-endian, at the footer's data offset.
 *
 *     0  8  cookie "cxsparse"          28  4  max table entries        40  .. parent id, time, name (differencing)
 *     8  8  all ff                     32  4  block size, bytes       576  .. eight parent locators
 *    16  8  table (BAT) offset         36  4  checksum                768 256 reserved
 *    24  4  version 0x00010000
 *
 * blocks needed = ceil(virtual size / block size) <= max table entries. A longer table is normal: LVHD preallocates one
 * for 2 TiB. Entries beyond the size mean nothing.
 */

import { MiB, SECTOR, startsWith, u32be, u64be } from '../bytes.ts';
import { type ErrorCode, VdiStreamError } from '../errors.ts';
import { checksum, FOOTER_SIZE, type Footer } from './footer.ts';

export const HEADER_SIZE = 1024;
export const MAX_BLOCK_SIZE = 256 * MiB;
/**
 * 2 TiB, which a 32-bit sector number reaches, in 512 KiB blocks. The bound keeps a hostile table within 16 MiB of memory
 * and its sorting within 32.
 */
export const MAX_BLOCKS = 4 * MiB;

export interface Header {
  /** Byte offset of the BAT. */
  readonly tableOffset: number;
  /** Entries that the table has room for; only the first `blocks` of them count. */
  readonly tableEntries: number;
  /** Bytes, a power of two. */
  readonly blockSize: number;
  /** Blocks that the virtual size needs. */
  readonly blocks: number;
}

/** Where the header stands. Throws VHD_HEADER. */
export function headerOffset(footer: Footer): number {
  const at = footer.dataOffset;
  if (at < FOOTER_SIZE || at % SECTOR !== 0 || at > Number.MAX_SAFE_INTEGER - HEADER_SIZE) {
    throw new VdiStreamError('VHD_HEADER', `the footer places the header at byte ${at}, where it cannot be`, { offset: 16 });
  }
  return at;
}

/** Throws VHD_HEADER, VHD_VERSION, VHD_BLOCK_SIZE or VHD_TABLE. */
export function parseHeader(bytes: Uint8Array, footer: Footer): Header {
  const refuse = (code: ErrorCode, message: string, field: number): never => {
    throw new VdiStreamError(code, message, { offset: footer.dataOffset + field });
  };
  if (!startsWith(bytes, 'cxsparse')) refuse('VHD_HEADER', 'no dynamic header: the cookie "cxsparse" is not there', 0);
  if (u32be(bytes, 36) !== checksum(bytes, 36)) refuse('VHD_HEADER', 'the checksum of the dynamic header is wrong', 36);
  if (u32be(bytes, 24) >>> 16 !== 1) refuse('VHD_VERSION', `header version ${u32be(bytes, 24) >>> 16} is not known`, 24);

  const blockSize = u32be(bytes, 32);
  if (blockSize < SECTOR || blockSize > MAX_BLOCK_SIZE || !Number.isInteger(Math.log2(blockSize))) {
    refuse('VHD_BLOCK_SIZE', `a block size of ${blockSize} bytes is not supported`, 32);
  }
  const tableEntries = u32be(bytes, 28);
  const blocks = Math.ceil(footer.virtualSize / blockSize);
  if (blocks > tableEntries) {
    refuse('VHD_TABLE', `the table has ${tableEntries} entries, but the size needs ${blocks}`, 28);
  }
  if (blocks > MAX_BLOCKS) {
    refuse('VHD_TABLE', `${blocks} blocks of ${blockSize} bytes are more than any real disk has`, 32);
  }
  const tableOffset = u64be(bytes, 16);
  const inFooter = tableOffset < FOOTER_SIZE;
  const inHeader = tableOffset > footer.dataOffset - SECTOR && tableOffset < footer.dataOffset + HEADER_SIZE;
  if (inFooter || inHeader || tableOffset % SECTOR !== 0 || tableOffset > Number.MAX_SAFE_INTEGER / 2) {
    refuse('VHD_TABLE', `the block table cannot be at byte ${tableOffset}`, 16);
  }
  return { tableOffset, tableEntries, blockSize, blocks };
}
