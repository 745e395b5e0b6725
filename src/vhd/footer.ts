/**
 * The VHD footer: 512 bytes, big-endian. It ends every VHD; dynamic and differencing ones begin with a copy of it.
 *
 *     0  8  cookie "conectix"          48  8  current size, bytes      85  1  hidden (tapdisk's own)
 *     8  4  features                   56  4  geometry: C 16 H 8 S 8   86 426 reserved; Windows 10 leaves boot code here
 *    12  4  version 0x00010000         60  4  type: 2 fixed, 3 dynamic, 4 differencing
 *    16  8  data offset (header)       64  4  checksum
 *    24  4  seconds since 2000-01-01   68 16  unique id
 *    28  4  creator application        84  1  saved state
 *    32  8  creator version, host OS
 *    40  8  original size
 *
 * Checksum: the ones' complement of the sum of all bytes but its own four (Microsoft, VHD specification 1.0).
 * Size: current size, never the geometry (DOMAIN: XenServer's chain does so, and CHS is smaller for most disks).
 */

import { ascii, hex, SECTOR, startsWith, u16be, u32be, u64be } from '../bytes.ts';
import { VdiStreamError, type Warn } from '../errors.ts';
import type { DiskType } from '../extent.ts';

export const FOOTER_SIZE = 512;
/** Virtual PC before 2004 wrote a footer without its last byte. */
export const SHORT_FOOTER_SIZE = 511;
export const COOKIE = 'conectix';

export interface Footer {
  readonly type: DiskType;
  /** current_size, bytes. */
  readonly virtualSize: number;
  /** Where the dynamic header stands, bytes; meaningless for a fixed disk. */
  readonly dataOffset: number;
  readonly creator: string;
  readonly uniqueId: string;
  /** C × H × S × 512, bytes. */
  readonly chsSize: number;
  readonly savedState: boolean;
}

const TYPES: Readonly<Record<number, DiskType>> = { 2: 'fixed', 3: 'dynamic', 4: 'differencing' };

export function checksum(bytes: Uint8Array, at: number): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) if (i < at || i >= at + 4) sum += bytes[i] ?? 0;
  return 0xffffffff - sum;
}

export const hasCookie = (bytes: Uint8Array): boolean => startsWith(bytes, COOKIE);

/**
 * Reads a footer of 512 or 511 bytes that stands at byte `offset` of the VHD.
 * Throws VHD_FOOTER, VHD_VERSION, VHD_TYPE or VHD_SIZE.
 */
export function parseFooter(found: Uint8Array, offset: number): Footer {
  const bytes = found.length === SHORT_FOOTER_SIZE ? Buffer.concat([found, new Uint8Array(1)]) : found;
  const refuse = (code: 'VHD_FOOTER' | 'VHD_VERSION' | 'VHD_TYPE' | 'VHD_SIZE', message: string, field: number): never => {
    throw new VdiStreamError(code, message, { offset: offset + field });
  };

  if (!hasCookie(bytes)) refuse('VHD_FOOTER', 'no VHD footer: the cookie "conectix" is not there', 0);
  const stored = u32be(bytes, 64);
  if (stored !== checksum(bytes, 64)) refuse('VHD_FOOTER', 'the checksum of the VHD footer is wrong', 64);
  const version = u32be(bytes, 12);
  if (version >>> 16 !== 1) refuse('VHD_VERSION', `VHD version ${version >>> 16}.${version & 0xffff} is not known, only 1.0`, 12);
  const type = TYPES[u32be(bytes, 60)];
  if (type === undefined) return refuse('VHD_TYPE', `VHD type ${u32be(bytes, 60)} is not known`, 60);

  const virtualSize = u64be(bytes, 48);
  if (virtualSize === 0 || virtualSize % SECTOR !== 0 || virtualSize > Number.MAX_SAFE_INTEGER) {
    refuse('VHD_SIZE', `a virtual size of ${virtualSize} bytes cannot be: it must be a positive multiple of 512`, 48);
  }
  return {
    type,
    virtualSize,
    dataOffset: u64be(bytes, 16),
    creator: ascii(bytes, 28, 4).trim(),
    uniqueId: hex(bytes.subarray(68, 84)),
    chsSize: u16be(bytes, 56) * (bytes[58] ?? 0) * (bytes[59] ?? 0) * SECTOR,
    savedState: bytes[84] === 1,
  };
}

/** Says what is odd about a valid footer. */
export function warnOfFooter(footer: Footer, warn: Warn): void {
  if (footer.chsSize > footer.virtualSize) {
    warn({
      code: 'VHD_GEOMETRY',
      message: `the geometry says ${footer.chsSize} bytes, the size field ${footer.virtualSize}; the size field counts`,
      offset: 56,
    });
  }
  if (footer.savedState) {
    warn({ code: 'VHD_SAVED_STATE', message: 'the disk is of a suspended machine; its file systems may not be clean', offset: 84 });
  }
}
