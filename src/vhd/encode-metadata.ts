/** The footer and the dynamic header of a new VHD. `footer.ts` and `header.ts` have their fields. */

import { SECTOR } from '../bytes.ts';
import type { Identity } from '../disk/disk.ts';
import { COOKIE, checksum, FOOTER_SIZE, TAPDISK } from './footer.ts';
import { HEADER_SIZE } from './header.ts';

/**
 * The creator application of a VHD that vdistream makes: that of Hyper-V. Programs use the field to choose between the size field and the
 * geometry, which is smaller for most disks. Before version 10, qemu uses the size field only for the creators on a short list (block/vpc.c,
 * vpc_open), and silently truncates the disk for all others, any name of our own included. Of that list, "win " promises nothing but that
 * the size field counts: "tap" would announce a batmap.
 */
export const CREATOR = 'win ';

const FORMAT_VERSION = 0x0001_0000;
const CREATOR_VERSION = 0x0001_0000;
/** Bit 1 is reserved, and always set. */
const FEATURES = 2;
const TYPE_NUMBERS = { fixed: 2, dynamic: 3 } as const;
const NO_OFFSET = 0xffff_ffff_ffff_ffffn;

export function encodeFooter(type: 'fixed' | 'dynamic', virtualSize: number, { creator, uniqueId, timestamp }: Identity): Buffer {
  const footer = Buffer.alloc(FOOTER_SIZE);
  const { cylinders, heads, sectors } = geometryOf(virtualSize);
  footer.write(COOKIE, 0, 'latin1');
  footer.writeUInt32BE(FEATURES, 8);
  footer.writeUInt32BE(FORMAT_VERSION, 12);
  footer.writeBigUInt64BE(type === 'fixed' ? NO_OFFSET : BigInt(FOOTER_SIZE), 16);
  footer.writeUInt32BE(timestamp, 24);
  footer.write(creator.padEnd(4, creator === TAPDISK ? '\0' : ' '), 28, 4, 'latin1');
  footer.writeUInt32BE(CREATOR_VERSION, 32);
  footer.write('Wi2k', 36, 'latin1'); // the host system: the specification has Windows and Macintosh
  footer.writeBigUInt64BE(BigInt(virtualSize), 40);
  footer.writeBigUInt64BE(BigInt(virtualSize), 48);
  footer.writeUInt16BE(cylinders, 56);
  footer.writeUInt8(heads, 58);
  footer.writeUInt8(sectors, 59);
  footer.writeUInt32BE(TYPE_NUMBERS[type], 60);
  footer.write(uniqueId, 68, 'hex');
  footer.writeUInt32BE(checksum(footer, 64), 64);
  return footer;
}

/** `tableOffset` in bytes. */
export function encodeHeader(tableOffset: number, blocks: number, blockSize: number): Buffer {
  const header = Buffer.alloc(HEADER_SIZE);
  header.write('cxsparse', 0, 'latin1');
  header.writeBigUInt64BE(NO_OFFSET, 8);
  header.writeBigUInt64BE(BigInt(tableOffset), 16);
  header.writeUInt32BE(FORMAT_VERSION, 24);
  header.writeUInt32BE(blocks, 28);
  header.writeUInt32BE(blockSize, 32);
  header.writeUInt32BE(checksum(header, 36), 36);
  return header;
}

interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectors: number;
}

/** The appendix "CHS Calculation" of the VHD specification; libvhd reports a larger geometry as damage (vhd-util-check.c). */
function geometryOf(virtualSize: number): Geometry {
  const total = Math.min(virtualSize / SECTOR, 65535 * 16 * 255);
  const geometry = (heads: number, sectors: number): Geometry => ({
    cylinders: Math.floor(Math.floor(total / sectors) / heads),
    heads,
    sectors,
  });
  if (total >= 65535 * 16 * 63) return geometry(16, 255);
  const tracks = Math.floor(total / 17);
  const heads = Math.max(4, Math.ceil(tracks / 1024));
  if (heads <= 16 && tracks < heads * 1024) return geometry(heads, 17);
  if (Math.floor(total / 31) < 16 * 1024) return geometry(16, 31);
  return geometry(16, 63);
}
