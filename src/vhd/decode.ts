/** Decodes one VHD. */

import { checkOptions } from '../arguments.ts';
import { checkArguments } from '../block-arguments.ts';
import type { Cursor } from '../cursor.ts';
import type { DecodeOptions, Disk } from '../disk/disk.ts';
import type { OnWarning } from '../warnings.ts';
import { dynamicDisk } from './dynamic.ts';
import { fixedDisk } from './fixed.ts';
import { readMetadata, type VhdMetadata } from './metadata.ts';

/**
 * Reads the metadata of a VHD, up to its BAT. The VHD is the rest of the range of `cursor`. Its data is read when `extents` is iterated.
 *
 * Throws a VdiStreamError with a USAGE, VHD_…, FORMAT_OTHER, DISK_SIZE_UNKNOWN or SOURCE_TRUNCATED code.
 */
export async function decodeVhd(cursor: Cursor, options: DecodeOptions = {}): Promise<Disk> {
  checkArguments('decodeVhd', cursor);
  checkOptions('decodeVhd', options);
  const { onWarning: warn = () => {} } = options;
  return vhdDisk(cursor, await readMetadata(cursor), warn);
}

/** The disk of a VHD whose metadata has just been read from `cursor`. Throws DISK_SIZE_UNKNOWN, VHD_FOOTER, SOURCE_TRUNCATED. */
export function vhdDisk(cursor: Cursor, metadata: VhdMetadata, warn: OnWarning): Disk {
  return metadata.type === 'fixed' ? fixedDisk(cursor, metadata.end, warn) : dynamicDisk(cursor, metadata, warn);
}
