/** The frames of zstd (RFC 8878, 3.1). */

import { FRAME_MAGIC_BYTES, type FrameFormat, type FrameStep } from './frames.ts';

const FRAME_MAGIC = 0xfd2fb528;
/** The low four bits are free. pzstd puts such a frame in front of each of its own. */
const SKIPPABLE = 0x184d2a50;

export const isSkippable = (magic: number): boolean => (magic & ~0xf) === SKIPPABLE;

export const ZSTD: FrameFormat = {
  name: 'zstd',
  readMagic(field) {
    const magic = field.readUInt32LE();
    if (magic === FRAME_MAGIC) return { skip: 0, need: 1, read: readDescriptor };
    if (isSkippable(magic)) return { skip: 0, need: 4, read: (size) => frameAfter(size.readUInt32LE()) };
    return undefined;
  },
};

const frameAfter = (skip: number): FrameStep => ({ skip, need: FRAME_MAGIC_BYTES, read: ZSTD.readMagic });

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
    return (header & 1) === 1 ? frameAfter(size + checksum) : blockAfter(size, checksum);
  },
});
