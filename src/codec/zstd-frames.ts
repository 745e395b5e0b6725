/** The frames of zstd (RFC 8878, 3.1). */

import { type FrameStep, frameAfter, frameFormat } from './frames.ts';

export const ZSTD = frameFormat('zstd', 0xfd2fb528, { skip: 0, need: 1, read: readDescriptor });

function readDescriptor(field: Buffer): FrameStep {
  const descriptor = field[0] ?? 0;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const windowSize = isSingleSegment ? 0 : 1;
  const dictionarySize = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSize = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const checksum = (descriptor & 4) !== 0 ? 4 : 0;
  return blockAfter(windowSize + dictionarySize + contentSize, checksum);
}

const RLE = 1;

const blockAfter = (skip: number, checksum: number): FrameStep => ({
  skip,
  need: 3,
  read(field) {
    const header = field.readUIntLE(0, 3);
    const size = ((header >> 1) & 3) === RLE ? 1 : header >> 3;
    return (header & 1) === 1 ? frameAfter(ZSTD, size + checksum) : blockAfter(size, checksum);
  },
});
