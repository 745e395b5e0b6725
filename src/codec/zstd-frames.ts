/**
 * The frames of a zstd stream (RFC 8878, 3.1), found by their headers, without decompressing. Node's decoder passes a stream that is cut for
 * a complete one (22), and ignores what follows it (22, 24).
 */

import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';

/** What comes next: `skip` bytes of content, then `need` bytes for `read`. */
interface Step {
  readonly skip: number;
  readonly need: number;
  readonly read: (field: Buffer) => Step | undefined;
}

const FRAME_MAGIC = 0xfd2fb528;
/** The low four bits are free. */
const SKIPPABLE = 0x184d2a50;

/** Undefined for anything but a frame. */
function readMagic(field: Buffer): Step | undefined {
  const magic = field.readUInt32LE();
  if (magic === FRAME_MAGIC) return { skip: 0, need: 1, read: readDescriptor };
  if ((magic & ~0xf) === SKIPPABLE) return { skip: 0, need: 4, read: (size) => frameAfter(size.readUInt32LE()) };
  return undefined;
}

const frameAfter = (skip: number): Step => ({ skip, need: 4, read: readMagic });

function readDescriptor(field: Buffer): Step {
  const descriptor = field[0] ?? 0;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const windowSize = isSingleSegment ? 0 : 1;
  const dictionarySize = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSize = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const checksum = (descriptor & 4) !== 0 ? 4 : 0;
  return blockAfter(windowSize + dictionarySize + contentSize, checksum);
}

const RLE = 1;

const blockAfter = (skip: number, checksum: number): Step => ({
  skip,
  need: 3,
  read(field) {
    const header = field.readUIntLE(0, 3);
    const size = ((header >> 1) & 3) === RLE ? 1 : header >> 3;
    return (header & 1) === 1 ? frameAfter(size + checksum) : blockAfter(size, checksum);
  },
});

/** Passes `source` on. Throws COMPRESSION_TRUNCATED if it ends inside a frame, and COMPRESSION_TRAILING for anything after a frame. */
export async function* wholeFrames(source: Chunks): Chunks {
  let { skip, need, read }: Step = frameAfter(0);
  let field = Buffer.alloc(0);
  let position = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; ) {
      const skipped = Math.min(skip, chunk.length - at);
      at += skipped;
      skip -= skipped;
      const part = chunk.subarray(at, at + need - field.length);
      if (skip > 0 || part.length === 0) continue;
      at += part.length;
      field = Buffer.concat([field, part]);
      if (field.length < need) continue;
      const next = read(field);
      if (next === undefined) {
        const offset = position + at - need;
        throw new VdiStreamError('COMPRESSION_TRAILING', 'the zstd stream is followed by other data', { offset });
      }
      ({ skip, need, read } = next);
      field = Buffer.alloc(0);
    }
    position += chunk.length;
    yield chunk;
  }
  const isComplete = skip === 0 && field.length === 0 && read === readMagic && position > 0;
  if (!isComplete) throw new VdiStreamError('COMPRESSION_TRUNCATED', 'the zstd stream ends inside a frame', { offset: position });
}
