/** Encoding a disk as a VHD, or as it is. */

import { checkOptions } from '../arguments.ts';
import { checkArguments } from '../block-arguments.ts';
import { GiB, KiB, MiB, SECTOR } from '../bytes.ts';
import type { Disk, Identity } from '../disk/disk.ts';
import { VdiStreamError } from '../errors.ts';
import { blockBytes, dynamicLayout, frontBytes } from './encode-dynamic.ts';
import { encodeFooter, encodeHeader } from './encode-metadata.ts';
import { type EncodedDisk, flatBytes, PLAIN_SCAN, readyExtents, type ZeroScan } from './encoded.ts';
import { FOOTER_SIZE } from './footer.ts';

export interface VhdLayoutOptions {
  readonly type: 'fixed' | 'dynamic';
  /** Bytes, a power of two from 4 KiB to 2 MiB, the default. XenServer reads only blocks of 2 MiB. */
  readonly blockSize?: number | undefined;
  /** 4096 places the BAT and the data of each block at multiples of 4096 bytes. 512, the default, leaves no gaps. */
  readonly align?: 512 | 4096 | undefined;
  /** `CREATOR` is the creator that all programs read correctly. */
  readonly identity: Identity;
  /** By default one without the addon. */
  readonly scan?: ZeroScan | undefined;
}

export const MIN_BLOCK = 4 * KiB;
export const MAX_BLOCK = 2 * MiB;
/** The limit of Hyper-V, XenServer and qemu. */
export const MAX_VHD = 2040 * GiB;

/**
 * A dynamic VHD has the blocks that `disk.allocated()` has, also those that are zero. Throws USAGE for an invalid option, and EXPORT_SIZE
 * if a VHD cannot hold the disk.
 */
export function encodeVhd(disk: Disk, options: VhdLayoutOptions): EncodedDisk {
  checkArguments('encodeVhd', disk);
  checkOptions('encodeVhd', options);
  const { type, blockSize = MAX_BLOCK, align = SECTOR, identity, scan = PLAIN_SCAN } = options;
  const { virtualSize } = disk;
  checkIdentity(identity);
  if (virtualSize > MAX_VHD) {
    throw new VdiStreamError('EXPORT_SIZE', `the disk has ${virtualSize} bytes, but a VHD holds at most ${MAX_VHD}`);
  }
  const footer = encodeFooter(type, virtualSize, identity);
  if (type === 'fixed') {
    return {
      length: virtualSize + FOOTER_SIZE,
      async *bytes(buffers, { signal } = {}) {
        yield* flatBytes(disk, buffers, signal);
        yield footer;
      },
    };
  }
  const layout = dynamicLayout(disk, blockSize, align);
  return {
    length: layout.length,
    async *bytes(buffers, { signal } = {}) {
      yield* frontBytes(layout, footer, encodeHeader(layout.tableOffset, layout.blocks, blockSize));
      yield* blockBytes(layout, readyExtents(disk, buffers, signal), scan);
      yield footer;
    },
  };
}

/** The disk as it is. */
export function encodeRaw(disk: Disk): EncodedDisk {
  checkArguments('encodeRaw', disk);
  return { length: disk.virtualSize, bytes: (buffers, { signal } = {}) => flatBytes(disk, buffers, signal) };
}

function checkIdentity({ creator, uniqueId, timestamp }: Identity): void {
  const invalid = (problem: string): VdiStreamError => new VdiStreamError('USAGE', `encodeVhd: ${problem}`);
  if (!/^[\x20-\x7e]{1,4}$/.test(creator)) throw invalid('the creator must be one to four ASCII characters');
  if (!/^[0-9a-f]{32}$/i.test(uniqueId) || /^0+$/.test(uniqueId))
    throw invalid('the unique ID must be 32 hexadecimal digits, not all zero');
  if (!Number.isInteger(timestamp) || timestamp < 0 || timestamp > 0xffff_ffff)
    throw invalid('the timestamp must be a 32-bit number of seconds');
}
