/**
 * The frames of a compressed stream, found by their headers, without decompressing: where each begins, and whether the last one is complete.
 * Decoders say it late or never: Node's zstd passes a stream that is cut for a complete one (22), and ignores what follows the first frame
 * (22, 24).
 */

import { isZero } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';

/** What comes next: `skip` bytes of content, then `need` bytes for `read`. */
export interface FrameStep {
  readonly skip: number;
  readonly need: number;
  /** Returns undefined for a magic number that is not of the format. */
  readonly read: (field: Buffer) => FrameStep | undefined;
}

export interface FrameFormat {
  readonly name: string;
  /** Reads the magic number of a frame. The step after a frame has it as its `read` again. */
  readonly readMagic: FrameStep['read'];
}

/** Bytes of a magic number. */
const FRAME_MAGIC_BYTES = 4;

/** The low four bits are free. pzstd puts such a frame in front of each of its own. */
const SKIPPABLE = 0x184d2a50;

/** Whether this begins a frame of any content that lz4 and zstd skip: both have the same (RFC 8878, 3.1.2). */
export const isSkippable = (magic: number): boolean => (magic & ~0xf) === SKIPPABLE;

/** A format whose frames begin with `magic`, then `header`. */
export function frameFormat(name: string, magic: number, header: FrameStep): FrameFormat {
  const format: FrameFormat = {
    name,
    readMagic(field) {
      const found = field.readUInt32LE();
      if (found === magic) return header;
      if (isSkippable(found)) return { skip: 0, need: 4, read: (size) => frameAfter(format, size.readUInt32LE()) };
      return undefined;
    },
  };
  return format;
}

/** The next frame, after `skip` bytes. */
export const frameAfter = ({ readMagic }: FrameFormat, skip: number): FrameStep => ({ skip, need: FRAME_MAGIC_BYTES, read: readMagic });

/** Bytes of one frame. `isStart` is set for its magic number, which is always a piece of its own. */
interface FramePiece {
  readonly bytes: Uint8Array;
  readonly isStart: boolean;
}

/**
 * Passes on what belongs to a frame. Throws COMPRESSION_TRUNCATED if the source ends inside one, and COMPRESSION_TRAILING for anything but
 * zeros after the last one.
 */
async function* framePieces(format: FrameFormat, source: Chunks): AsyncGenerator<FramePiece, void, void> {
  const { name, readMagic } = format;
  let { skip, need, read } = frameAfter(format, 0);
  let field = Buffer.alloc(0);
  let position = 0;
  let frames = 0;
  let isPadding = false;
  const trailing = (offset: number): VdiStreamError =>
    new VdiStreamError('COMPRESSION_TRAILING', `the ${name} stream is followed by other data`, { offset });

  for await (const chunk of source) {
    /** The first byte of the current frame that has not been passed on. */
    let from = 0;
    let at = 0;
    while (at < chunk.length && !isPadding) {
      const skipped = Math.min(skip, chunk.length - at);
      at += skipped;
      skip -= skipped;
      if (skip > 0 || at === chunk.length) break;
      const isMagic = read === readMagic;
      if (isMagic && field.length === 0) {
        if (at > from) yield { bytes: chunk.subarray(from, at), isStart: false };
        from = at;
      }
      const part = chunk.subarray(at, at + need - field.length);
      at += part.length;
      field = Buffer.concat([field, part]);
      if (field.length < need) break;
      const next = read(field);
      isPadding = next === undefined && frames > 0 && isZero(field);
      if (next === undefined && !isPadding) throw trailing(position + at - need);
      if (isMagic && !isPadding) {
        frames++;
        yield { bytes: field, isStart: true };
        from = at;
      }
      if (next !== undefined) ({ skip, need, read } = next);
      field = Buffer.alloc(0);
    }
    if (isPadding && !isZero(chunk.subarray(at))) throw trailing(position + at);
    const isHeldBack = isPadding || (read === readMagic && skip === 0 && field.length > 0);
    if (!isHeldBack && from < chunk.length) yield { bytes: chunk.subarray(from), isStart: false };
    position += chunk.length;
  }
  const isComplete = isPadding || (skip === 0 && read === readMagic && frames > 0 && isZero(field));
  if (!isComplete) throw new VdiStreamError('COMPRESSION_TRUNCATED', `the ${name} stream ends inside a frame`, { offset: position });
}

/** The frames of `source` as one stream, without the zeros after them. Throws what `framePieces` does. */
export async function* wholeFrames(format: FrameFormat, source: Chunks): Chunks {
  for await (const { bytes } of framePieces(format, source)) yield bytes;
}

/** The frames one by one. Each must be read to its end before the next is requested. Throws what `framePieces` does. */
export async function* eachFrame(format: FrameFormat, source: Chunks): AsyncGenerator<Chunks, void, void> {
  const all = framePieces(format, source);
  let next = await all.next();
  async function* frame(): Chunks {
    do {
      if (!next.done) yield next.value.bytes;
      next = await all.next();
    } while (!next.done && !next.value.isStart);
  }
  try {
    while (!next.done) yield frame();
  } finally {
    await all.return();
  }
}
