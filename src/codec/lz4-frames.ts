/**
 * The frames of lz4 (LZ4 Frame Format Description 1.6). The program ignores what it cannot read after a frame, or says so only in words.
 *
 *   0  4  magic 0x184D2204        then  8  content size, if bit 3 of the flags is set    blocks: size (4), of which bit 31 says "stored";
 *   4  1  flags                         4  dictionary, if bit 0 is set                   the data; a checksum (4), if bit 4 is set
 *   5  1  block size                    1  checksum of the header                        last: 0 (4), a checksum (4), if bit 2 is set
 */

import { FRAME_MAGIC_BYTES, type FrameFormat, type FrameStep } from './frames.ts';
import { isSkippable } from './zstd-frames.ts';

const FRAME_MAGIC = 0x184d2204;

export const LZ4: FrameFormat = {
  name: 'lz4',
  readMagic(field) {
    const magic = field.readUInt32LE();
    if (magic === FRAME_MAGIC) return { skip: 0, need: 2, read: readFlags };
    if (isSkippable(magic)) return { skip: 0, need: 4, read: (size) => frameAfter(size.readUInt32LE()) };
    return undefined;
  },
};

const frameAfter = (skip: number): FrameStep => ({ skip, need: FRAME_MAGIC_BYTES, read: LZ4.readMagic });

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
    return size === 0 ? frameAfter(checksums.content) : blockAfter((size % STORED) + checksums.block, checksums);
  },
});
