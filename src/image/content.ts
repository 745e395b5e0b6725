/**
 * Content: the bytes of a source or a member, without its compression.
 *
 * Compression is detected by the first bytes. Where the end can be seen, it decides first: a fixed VHD may begin with anything. A server may
 * compress what was compressed already, so that a tar.gz arrives as .gz.gz; one such level more is read, and no third, which nobody makes
 * but to do harm. Each level has its own bound of memory, and what it yields is never held as a whole.
 */

import { type Compression, compressionOf, decompress, MAGIC_BYTES } from '../codec/compression.ts';
import type { InflateChoice } from '../codec/inflate.ts';
import type { Chunks, Cursor, StreamCursor } from '../cursor.ts';
import { otherFormat } from '../disk/other-formats.ts';
import { VdiStreamError } from '../errors.ts';
import type { Stages } from '../host/stages.ts';
import { isTarHeader, TAR_BLOCK } from '../ova/header.ts';
import { readEnd, warnOfRest } from '../vhd/end.ts';
import { endsAsFixed, isExactlyFixed } from '../vhd/exact.ts';
import { hasCookie } from '../vhd/footer.ts';
import type { OnWarning } from '../warnings.ts';
import { readAs } from './tail.ts';

const MAX_LEVELS = 2;

interface StoredBytes {
  /** At its start. */
  readonly cursor: Cursor;
  /** The same bytes, if they can be looked at in advance although `cursor` cannot seek. */
  readonly ahead?: Cursor | undefined;
  /** Creates a stream that is closed with the image. */
  readonly stream: (chunks: Chunks, length?: number) => StreamCursor;
  readonly inflate: InflateChoice | undefined;
  readonly stages: Stages | undefined;
  /** The name of a member, for errors. */
  readonly member?: string | undefined;
  /** A raw disk may hold anything, so only its length is looked at. */
  readonly isRaw: boolean;
  /** What is no VHD is a raw disk. */
  readonly mayBeRaw?: boolean;
  readonly warn: OnWarning;
  /** Whether a first level of this compression is undone; any by default. */
  readonly accepts?: (compression: Compression) => boolean;
}

interface Unpacked {
  /** The outermost one, or `none`. */
  readonly compression: Compression;
  /** With its length, if that is needed and can be found. */
  readonly cursor: Cursor;
}

/** Reads no further than the first header, unless the size is at the end and can be found. Throws COMPRESSION_… errors and VHD_FOOTER. */
export async function openContent(stored: StoredBytes): Promise<Unpacked> {
  const { cursor, ahead = cursor } = stored;
  const found = ahead.seekable ? await look(ahead, stored) : await peel(cursor, stored);
  const { levels, length } = found;
  const [compression = 'none'] = levels;
  if (ahead === cursor || !ahead.seekable) return { compression, cursor: found.cursor };
  await rewind(ahead, found.cursor);
  return { compression, cursor: unpacked(cursor, levels, stored, length) };
}

/** The compression of a source that is at its start, without reading on; `none` for a fixed VHD that begins like one. */
export async function outerCompression(cursor: Cursor): Promise<Compression> {
  const compression = compressionOf(await cursor.peek(MAGIC_BYTES));
  return compression !== 'none' && (await endsAsFixed(cursor)) ? 'none' : compression;
}

interface Peeled {
  readonly levels: readonly Compression[];
  readonly cursor: Cursor;
  readonly length?: number;
}

async function peel(from: Cursor, stored: StoredBytes): Promise<Peeled> {
  const levels: Compression[] = [];
  for (let cursor = from; ; ) {
    const compression = nextLevel(await cursor.peek(MAGIC_BYTES), levels, stored);
    if (compression === 'none') return { levels, cursor };
    levels.push(compression);
    cursor = stored.stream(readAs(`${compression} data`, cursor.chunks(), (packed) => namedDecompress(compression, packed, stored)));
  }
}

/** The same for a cursor that can go back. Decompresses everything only to see the end of what may be a disk without blocks. */
async function look(from: Cursor, stored: StoredBytes): Promise<Peeled> {
  const levels: Compression[] = [];
  let cursor = from;
  for (;;) {
    const compression = nextLevel(await cursor.peek(MAGIC_BYTES), levels, stored);
    const isPacked = compression !== 'none';
    if (levels.length === 0) {
      if (!isPacked || (await endsAsFixed(from))) return { levels, cursor };
    } else if (isPacked || stored.isRaw || isPlain(await cursor.peek(TAR_BLOCK), stored.member)) {
      const end = await readEnd(cursor);
      const { bytes, offset, rest } = end;
      if (!isPacked && !stored.isRaw && !stored.mayBeRaw && !hasCookie(bytes)) throw noFooter(offset);
      const isLonger = rest > 0 && !isPacked && !stored.isRaw && hasCookie(bytes);
      if (isLonger) warnOfRest(cursor, end, stored.warn);
      const length = offset + bytes.length + (isLonger ? 0 : rest);
      await rewind(from, cursor);
      if (!isPacked || isExactlyFixed(bytes, length)) return { levels, cursor: unpacked(from, levels, stored, length), length };
    } else return { levels, cursor };
    levels.push(compression);
    cursor = unpacked(from, levels, stored);
  }
}

async function rewind(from: Cursor, top: Cursor | StreamCursor): Promise<void> {
  if ('close' in top) await top.close();
  await from.moveTo(0);
}

const noFooter = (offset: number): VdiStreamError =>
  new VdiStreamError('VHD_FOOTER', 'no VHD footer, neither at the start nor at the end; perhaps this is a raw disk', { offset });

/** Throws COMPRESSION_NESTED. */
function nextLevel(magic: Uint8Array, levels: readonly Compression[], { accepts, member }: StoredBytes): Compression {
  const compression = compressionOf(magic);
  if (levels.length === MAX_LEVELS && compression !== 'none') {
    throw new VdiStreamError('COMPRESSION_NESTED', `the image is compressed more than twice: ${[...levels, compression].join(' in ')}`, {
      member,
    });
  }
  return levels.length === 0 && accepts?.(compression) === false ? 'none' : compression;
}

/** Whether this is neither a dynamic VHD nor anything else that is recognized by its first bytes. A member is never an archive. */
export const isPlain = (front: Uint8Array, member: string | undefined): boolean =>
  front.length > 0 && !hasCookie(front) && otherFormat(front) === undefined && (member !== undefined || !isTarHeader(front));

function unpacked(cursor: Cursor, levels: readonly Compression[], how: StoredBytes, length?: number): Cursor | StreamCursor {
  if (levels.length === 0) return cursor;
  const stored = cursor.seekable ? stoppable(cursor.chunks()) : { chunks: cursor.chunks(), stop: async () => {} };
  async function* chunks(): Chunks {
    try {
      yield* levels.reduce((packed, level) => namedDecompress(level, packed, how), stored.chunks);
    } finally {
      await stored.stop();
    }
  }
  return how.stream(chunks(), length);
}

/** A program reads ahead, also when its output is no longer wanted. After `stop`, the cursor of a file is not moved any more. */
function stoppable(source: Chunks): { readonly chunks: Chunks; stop(): Promise<void> } {
  const all = source[Symbol.asyncIterator]();
  let isStopped = false;
  let pending: Promise<unknown> | undefined;
  function next(): Promise<IteratorResult<Uint8Array>> {
    if (isStopped) return Promise.resolve({ done: true, value: undefined });
    const result = all.next();
    pending = result.catch(() => {});
    return result;
  }
  return {
    chunks: { [Symbol.asyncIterator]: () => ({ next }) },
    async stop() {
      isStopped = true;
      await pending;
      await all.return?.();
    },
  };
}

/** Sets the member on its own errors, but not on those of the archive around it. */
async function* namedDecompress(level: Compression, packed: Chunks, { inflate, member, stages }: StoredBytes): Chunks {
  let outer: unknown;
  async function* bytes(): Chunks {
    try {
      yield* packed;
    } catch (error) {
      outer = error;
      throw error;
    }
  }
  try {
    yield* decompress(level, bytes(), inflate, stages);
  } catch (error) {
    if (error !== outer && error instanceof VdiStreamError) error.member ??= member;
    throw error;
  }
}
