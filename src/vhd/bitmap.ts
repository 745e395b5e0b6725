/**
 * The sector bitmap before each block: one bit per sector, most significant first. In a dynamic disk a sector with a clear bit reads as
 * zero, regardless of its bytes: images from LVM and NFS hold other people's old data there. In a differencing disk it reads as the
 * sector of the parent.
 */

import { SECTOR } from '../bytes.ts';
import { areSet, bitRuns } from '../disk/bits.ts';

/** Zeros the sectors of `bytes` whose bits are clear. `first` is the sector of the block at which `bytes` begins. */
export function clearAbsent(bytes: Uint8Array, bitmap: Uint8Array, first: number): void {
  const sectors = bytes.length / SECTOR;
  if (areSet(bitmap, first, first + sectors)) return;
  for (const { start, end, set } of bitRuns(bitmap, first, sectors)) {
    if (!set) bytes.fill(0, (start - first) * SECTOR, (end - first) * SECTOR);
  }
}
