/**
 * The VHD footer: 512 bytes, big-endian, at the end of every VHD. Dynamic and differencing ones begin with a copy of it.
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
 * Checksum: the ones' complement of the sum of all bytes except its own four (Microsoft, VHD specification 1.0).
 * Size: current size, as in libvhd (blktap, vhd/lib/libvhd.c), never the geometry. Virtual PC uses the geometry (qemu, block/vpc.c), which
 * is smaller for most disks.
 */

import { ascii, hex, SECTOR, startsWith, u16be, u32be, u64be } from '../bytes.ts';
import type { DiskType, Identity } from '../disk/disk.ts';
import { MAGIC } from '../disk/magic.ts';
import { type ErrorCode, type OnFault, refuse, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';

export const FOOTER_SIZE = 512;
/** Virtual PC before 2004 omitted the last byte. */
export const SHORT_FOOTER_SIZE = 511;
/** Bytes of the footer at the end of a VHD of `length` bytes. */
export const footerBytes = (length: number): number => (length % SECTOR === SHORT_FOOTER_SIZE ? SHORT_FOOTER_SIZE : FOOTER_SIZE);
export const COOKIE = MAGIC.vhd;
/** Replaces the cookie while a tapdisk has the file open for writing. */
export const POISON = 'v_poison';
export const TAPDISK = 'tap';

export interface Footer {
  readonly type: DiskType;
  /** current_size, bytes. */
  readonly virtualSize: number;
  /** Byte offset of the dynamic header; meaningless for a fixed disk. */
  readonly dataOffset: number;
  readonly creator: string;
  /** Major version × 65536 + minor version of the creator. */
  readonly creatorVersion: number;
  readonly uniqueId: string;
  /** Seconds since 2000-01-01 UTC. */
  readonly timestamp: number;
  /** C × H × S × 512, bytes. */
  readonly chsSize: number;
  readonly savedState: boolean;
  /** tapdisk sets it on a VHD that is only used through its children. Other creators use the byte for anything. */
  readonly hidden: boolean;
  /** All 512, as found. */
  readonly bytes: Uint8Array;
}

/** Of major version × 65536 + minor version. */
export const versionText = (version: number): string => `${version >>> 16}.${version & 0xffff}`;

const TYPES: Readonly<Record<number, DiskType>> = { 2: 'fixed', 3: 'dynamic', 4: 'differencing' };

export function checksum(bytes: Uint8Array, at: number): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) if (i < at || i >= at + 4) sum += bytes[i] ?? 0;
  return 0xffffffff - sum;
}

export const hasCookie = (bytes: Uint8Array): boolean => startsWith(bytes, COOKIE);

/**
 * Parses a footer of 512 or 511 bytes, found at byte `offset` of the VHD. A wrong checksum or version goes to `fault`.
 * Throws VHD_FOOTER, VHD_TYPE or VHD_SIZE.
 */
export function parseFooter(found: Uint8Array, offset: number, fault: OnFault = refuse): Footer {
  const bytes = found.length === SHORT_FOOTER_SIZE ? Buffer.concat([found, new Uint8Array(1)]) : found;
  const wrong = (code: ErrorCode, message: string, field: number): VdiStreamError =>
    new VdiStreamError(code, message, { offset: offset + field });

  if (!hasCookie(bytes)) throw wrong('VHD_FOOTER', 'no VHD footer: the cookie "conectix" is missing', 0);
  if (!checksumHolds(bytes)) fault(wrong('VHD_FOOTER_CHECKSUM', 'the checksum of the VHD footer is wrong', 64));
  const version = u32be(bytes, 12);
  if (version >>> 16 !== 1) {
    fault(wrong('VHD_VERSION', `VHD version ${versionText(version)} is not supported, only 1.x`, 12));
  }
  const type = TYPES[u32be(bytes, 60)];
  if (type === undefined) throw wrong('VHD_TYPE', `VHD type ${u32be(bytes, 60)} is unknown`, 60);

  const virtualSize = u64be(bytes, 48);
  if (virtualSize === 0 || virtualSize % SECTOR !== 0 || virtualSize > Number.MAX_SAFE_INTEGER) {
    throw wrong('VHD_SIZE', `the virtual size is ${virtualSize} bytes, not a positive multiple of 512`, 48);
  }
  const creator = ascii(bytes, 28, 4).trim();
  return {
    type,
    virtualSize,
    dataOffset: u64be(bytes, 16),
    creator,
    creatorVersion: u32be(bytes, 32),
    uniqueId: hex(bytes.subarray(68, 84)),
    timestamp: u32be(bytes, 24),
    chsSize: u16be(bytes, 56) * (bytes[58] ?? 0) * (bytes[59] ?? 0) * SECTOR,
    savedState: bytes[84] === 1,
    hidden: creator === TAPDISK && bytes[85] !== 0,
    bytes: Uint8Array.from(bytes),
  };
}

/** The footer that these bytes are; undefined if it is damaged, or they are anything else. */
export function goodFooter(bytes: Uint8Array): Footer | undefined {
  if (bytes.length < SHORT_FOOTER_SIZE || !hasCookie(bytes)) return undefined;
  try {
    return parseFooter(bytes, 0);
  } catch {
    return undefined;
  }
}

/** Whether this is a good footer of the usual size. */
export const isFooter = (bytes: Uint8Array): boolean => bytes.length >= FOOTER_SIZE && goodFooter(bytes) !== undefined;

/** Old versions of tapdisk set the hidden byte without updating the checksum; libvhd accepts that too. */
function checksumHolds(bytes: Uint8Array): boolean {
  const stored = u32be(bytes, 64);
  if (stored === checksum(bytes, 64)) return true;
  return startsWith(bytes, TAPDISK, 28) && bytes[85] === 1 && stored === checksum(bytes, 64) + 1;
}

/** Fields by their first byte and the byte after them, except for the checksum. */
const FIELDS: readonly (readonly [name: string, start: number, end: number])[] = [
  ['features', 8, 12],
  ['version', 12, 16],
  ['data offset', 16, 24],
  ['timestamp', 24, 28],
  ['creator', 28, 32],
  ['creator version', 32, 36],
  ['creator host OS', 36, 40],
  ['original size', 40, 48],
  ['current size', 48, 56],
  ['geometry', 56, 60],
  ['type', 60, 64],
  ['unique ID', 68, 84],
  ['saved state', 84, 85],
  ['hidden flag', 85, 86],
  ['reserved bytes', 86, FOOTER_SIZE],
];
const HIDDEN = 'hidden flag';

/** tapdisk before version 1.2 set the hidden flag only in the copy at the start. */
const FIRST_HIDING_BOTH = 0x00010002;

/** The names of the fields in which the footer at the end differs from its copy at the start. */
export function differingFields(front: Footer, end: Footer): string[] {
  // A damaged copy differs anyway.
  if (!checksumHolds(front.bytes)) return [];
  const early = front.creator === TAPDISK && front.creatorVersion < FIRST_HIDING_BOTH;
  return FIELDS.filter(([name, from, to]) => {
    if (name === HIDDEN && early) return false;
    return Buffer.compare(front.bytes.subarray(from, to), end.bytes.subarray(from, to)) !== 0;
  }).map(([name]) => name);
}

/** The epoch of VHD timestamps, 2000-01-01, in Unix seconds. */
export const EPOCH = 946_684_800;
export const dateOf = (timestamp: number): Date => new Date((timestamp + EPOCH) * 1000);

export const identityOf = ({ creator, uniqueId, timestamp }: Footer): Identity => ({ creator, uniqueId, timestamp });

/** The largest geometry, in bytes. It means "use the size field"; qemu reads and writes it so, regardless of the size. */
const CHS_LIMIT = 65535 * 16 * 255 * SECTOR;

/** Warns of anything unusual in a valid footer, which is at byte `at`. */
export function warnOfFooter(footer: Footer, warn: OnWarning, at = 0): void {
  if (footer.chsSize > footer.virtualSize && footer.chsSize !== CHS_LIMIT) {
    warn({
      code: 'VHD_GEOMETRY',
      message: `the geometry says ${footer.chsSize} bytes, the size field ${footer.virtualSize}; the size field is used`,
      offset: at + 56,
    });
  }
  if (footer.savedState) {
    warn({ code: 'VHD_SAVED_STATE', message: 'the disk belongs to a suspended VM; its file systems may not be clean', offset: at + 84 });
  }
}
