/**
 * The sector bitmap before each block: one bit a sector, most significant first. In a dynamic disk a clear bit reads as
 * zero, whatever bytes stand there: images from LVM and NFS hold other people's old data under clear bits.
 */

import { SECTOR } from '../bytes.ts';

/** Clears the sectors of `bytes` whose bits are clear. `first` is the number of the sector, in its block, that `bytes` begins with. */
export function clearAbsent(bytes: Uint8Array, bitmap: Uint8Array, first: number): void {
  const sectors = bytes.length / SECTOR;
  let sector = 0;
  while (sector < sectors) {
    const bit = first + sector;
    const value = bitmap[bit >> 3] ?? 0;
    // Eight sectors at a time wherever a byte is all set, which is nearly everywhere.
    if (value === 0xff && (bit & 7) === 0) {
      sector += 8;
      continue;
    }
    if ((value & (0x80 >> (bit & 7))) === 0) bytes.fill(0, sector * SECTOR, (sector + 1) * SECTOR);
    sector++;
  }
}
