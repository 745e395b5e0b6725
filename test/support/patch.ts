/** Changes to a VHD that was made by hand, by offsets of the specification, with the checksums made right again. */

import { SECTOR } from './vhd-model.ts';

export type Change = (bytes: Buffer) => void;

/** The specification's checksum: the ones' complement of the sum of all bytes but its own four. */
export function seal(bytes: Buffer, at: number): void {
  bytes.writeUInt32BE(0, at);
  let sum = 0;
  for (const byte of bytes) sum += byte;
  bytes.writeUInt32BE(~sum >>> 0, at);
}

/** The footer in front (of what is no fixed disk), the one at the end, or both; 512 bytes. */
export function withFooters(vhd: Uint8Array, which: 'front' | 'end' | 'both', change: Change, sealed = true): Buffer {
  const changed = Buffer.from(vhd);
  const footers = [...(which === 'end' ? [] : [changed.subarray(0, 512)]), ...(which === 'front' ? [] : [changed.subarray(-512)])];
  for (const footer of footers) {
    change(footer);
    if (sealed) seal(footer, 64);
  }
  return changed;
}

/** The dynamic header, 1024 bytes after the first footer. */
export function withHeader(vhd: Uint8Array, change: Change, sealed = true): Buffer {
  const changed = Buffer.from(vhd);
  const header = changed.subarray(512, 1536);
  change(header);
  if (sealed) seal(header, 36);
  return changed;
}

export const withBytes = (vhd: Uint8Array, change: Change): Buffer => {
  const changed = Buffer.from(vhd);
  change(changed);
  return changed;
};

export const tableOffset = (vhd: Buffer): number => Number(vhd.readBigUInt64BE(512 + 16));

/** The sector of a block in the table. */
export const entryOf = (vhd: Buffer, block: number): number => vhd.readUInt32BE(tableOffset(vhd) + block * 4);

export const withEntry = (vhd: Buffer, block: number, sector: number): Buffer =>
  withBytes(vhd, (bytes) => bytes.writeUInt32BE(sector, tableOffset(vhd) + block * 4));

/** After the table, padded to whole sectors: where tapdisk puts its batmap. */
export const batmapOffset = (vhd: Buffer): number => tableOffset(vhd) + Math.ceil((vhd.readUInt32BE(512 + 28) * 4) / SECTOR) * SECTOR;
