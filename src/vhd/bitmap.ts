/**
 * The sector bitmap before each block: one bit a sector, most significant first. In a dynamic disk a clear bit reads as
 * zero, whatever bytes stand there: images from LVM and NFS hold other people's old data under clear bits. In a
 * differencing disk a clear bit lets the parent's sector show.
 */

import { SECTOR } from '../bytes.ts';
import { bitRuns } from '../disk/bits.ts';

/** Clears the sectors of `bytes` whose bits are clear. `first` is the number of the sector, in its block, that `bytes` begins with. */
export function clearAbsent(bytes: Uint8Array, bitmap: Uint8Array, first: number): void {
  for (const { start, end, set } of bitRuns(bitmap, first, bytes.length / SECTOR)) {
    if (!set) bytes.fill(0, (start - first) * SECTOR, (end - first) * SECTOR);
  }
}
