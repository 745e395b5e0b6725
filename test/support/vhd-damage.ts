/** A small dynamic VHD, and the ways to damage it. */

import { noise } from './chunks.ts';
import { dynamicVhd } from './make-vhd.mjs';

export function flipped(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0x10;
  return copy;
}

/** Three blocks of 4096 bytes on a disk of ten, each 4608 bytes with its bitmap, from byte 2048 on. */
export const blocks = new Map([0, 4, 9].map((block) => [block, noise(4096, block)]));
export const good = dynamicVhd({ size: 40960, blockSize: 4096, blocks });

/** The VHD with fields of the footer (both copies) or header changed and the checksums made right again. */
export function resealed(change: { footer?: (bytes: Buffer) => void; header?: (bytes: Buffer) => void }): Buffer {
  const copy = Buffer.from(good);
  const seal = (bytes: Buffer, at: number): void => {
    bytes.writeUInt32BE(0, at);
    bytes.writeUInt32BE(~bytes.reduce((sum, byte) => sum + byte, 0) >>> 0, at);
  };
  for (const footer of [copy.subarray(0, 512), copy.subarray(-512)]) {
    change.footer?.(footer);
    seal(footer, 64);
  }
  const header = copy.subarray(512, 1536);
  change.header?.(header);
  seal(header, 36);
  return copy;
}
