/**
 * The frames of lz4 (LZ4 Frame Format Description 1.6). The program ignores what it cannot read after a frame, or says so only in words.
 *
 *   0  4  magic 0x184D2204        then  8  content size, if bit 3 of the flags is set    blocks: size (4), of which bit 31 says "stored";
 *   4  1  flags                         4  dictionary, if bit 0 is set                   the data; a checksum (4), if bit 4 is set
 *   5  1  block size                    1  checksum of the header                        last: 0 (4), a checksum (4), if bit 2 is set
 */

import { type FrameStep, frameAfter, frameFormat } from './frames.ts';

export const LZ4 = frameFormat('lz4', 0x184d2204, { skip: 0, need: 2, read: readFlags });

function readFlags(field: Buffer): FrameStep {
  const flags = field[0] ?? 0;
  const header = ((flags & 8) !== 0 ? 8 : 0) + ((flags & 1) !== 0 ? 4 : 0) + 1;
  return blockAfter(header, { block: (flags & 16) !== 0 ? 4 : 0, content: (flags & 4) !== 0 ? 4 : 0 });
}

const STORED = 2 ** 31;

/** `checksums` are the bytes of the checksum after each block, and of that after the last one. */
const blockAfter = (skip: number, checksums: { readonly block: number; readonly content: number }): FrameStep => ({
  skip,
  need: 4,
  read(field) {
    const size = field.readUInt32LE();
    return size === 0 ? frameAfter(LZ4, checksums.content) : blockAfter((size % STORED) + checksums.block, checksums);
  },
});
