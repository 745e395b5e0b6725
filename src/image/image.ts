/**
 * Image: a source seen as what it holds. The readers are nested here, and only here:
 *
 *   source -> gunzip, zstd, xz -> tar member -> gunzip -> VHD or raw
 *
 * Each layer is recognised by its content, never by a name; but for a raw disk, which only its name or the caller can tell from noise.
 */

import { type Compression, compressionOf, decompress, MAGIC_BYTES } from '../codec/compression.ts';
import { type Chunks, type Cursor, drain, type StreamCursor, streamCursor } from '../cursor.ts';
import type { Disk } from '../disk/disk.ts';
import { inMember, type OnFault, VdiStreamError } from '../errors.ts';
import { isTarHeader, TAR_BLOCK } from '../ova/header.ts';
import { isRawName, type Place, placeOf } from '../ova/select.ts';
import type { Source } from '../source/source.ts';
import { decodeVhd } from '../vhd/decode.ts';
import { readEnd } from '../vhd/end.ts';
import { hasCookie } from '../vhd/footer.ts';
import type { OnWarning } from '../warnings.ts';
import { openArchive } from './archive.ts';
import type { ImageChoice } from './choice.ts';
import { decodeBareRaw, decodeBareVhd, decodeRawMember, unknownFormat } from './decode.ts';
import { namedDisk, type StoredDisk } from './stored.ts';

export interface Image {
  readonly kind: 'vhd' | 'tar' | 'raw';
  readonly compression: Compression;
  /**
   * When the iteration ends, the source has been read to its end and found whole. Returns the names of the files of the archive that are
   * no part of any disk; the first hundred.
   */
  disks(): AsyncGenerator<StoredDisk, readonly string[], void>;
  /** Ends what decompresses. The source stays open. */
  close(): Promise<void>;
}

export interface ImageOptions {
  readonly choice: ImageChoice;
  /** Bytes of the disk, where a stream does not say so in time. */
  readonly virtualSize?: number | undefined;
  readonly warn: OnWarning;
  /** What is done about a wrong digest, or a disk that the OVF names in vain; they are thrown by default. */
  readonly fault?: OnFault | undefined;
}

/** A source with the streams that decompress it. */
interface OpenedSource {
  readonly source: Source;
  readonly compression: Compression;
  /** Decompressed, from the first byte on. */
  readonly cursor: Cursor;
  /** A stream on top of the source, which is closed with it. */
  readonly stream: (chunks: Chunks, length?: number) => Cursor;
  readonly options: ImageOptions;
}

/**
 * `place` is where a bare disk stands in a chain of several sources. Throws FORMAT_… and COMPRESSION_… errors. Reads no further than the
 * first header.
 */
export async function openImage(source: Source, options: ImageOptions, place?: Place): Promise<Image> {
  const compression = compressionOf(await source.cursor.peek(MAGIC_BYTES));
  const streams: StreamCursor[] = [];
  async function close(): Promise<void> {
    for (const cursor of streams.splice(0).reverse()) await cursor.close();
  }
  source.own(close);
  const stream: OpenedSource['stream'] = (chunks, length) => {
    const cursor = streamCursor(chunks, length);
    streams.push(cursor);
    return cursor;
  };
  const cursor = compression === 'none' ? source.cursor : stream(decompress(compression, source.cursor.chunks()));

  const front = await cursor.peek(TAR_BLOCK);
  if (front.length === 0) throw new VdiStreamError('SOURCE_EMPTY', `${source.name} is empty`, { offset: 0 });
  const isTar = isTarHeader(front);
  const opened: OpenedSource = { source, compression, cursor, stream, options };
  return {
    kind: isTar ? 'tar' : options.choice.raw ? 'raw' : 'vhd',
    compression,
    disks: () => (isTar ? archivedDisks(opened) : bareDisk(opened, front, place)),
    close,
  };
}

/** The end of every layer: gzip CRC and length, then the source itself. */
async function finish(source: Source, cursor: Cursor): Promise<void> {
  await drain(cursor);
  await source.finish();
}

async function* archivedDisks({ source, cursor, stream, options }: OpenedSource): AsyncGenerator<StoredDisk, readonly string[], void> {
  const { choice, warn, fault } = options;
  const archive = await openArchive(cursor, { choice, warn, fault });
  const ignored = yield* archive.disks((name, body) => {
    const isRaw = choice.raw === true || isRawName(name);
    const inside: OnWarning = (warning) => warn({ ...warning, member: name });
    const plain = (from: Cursor): Promise<Cursor> => (isRaw ? Promise.resolve(from) : gunzipped(name, from, stream));
    return {
      member: name,
      name,
      place: placeOf(name),
      leafFirst: archive.leafFirst,
      isRaw,
      body,
      content: () => plain(body),
      open: once(async (from = body) => {
        try {
          const content = await plain(from);
          return namedDisk(name, isRaw ? await decodeRawMember(content, inside) : await decodeVhd(content, { onWarning: inside }));
        } catch (error) {
          throw inMember(name, error);
        }
      }),
    };
  });
  await finish(source, cursor);
  return ignored;
}

async function* bareDisk(opened: OpenedSource, front: Uint8Array, place?: Place): AsyncGenerator<StoredDisk, readonly string[], void> {
  const { source, options } = opened;
  const { choice, virtualSize, warn } = options;
  const isRaw = choice.raw === true;
  const body = isRaw || !hasCookie(front) ? await withLength(opened) : opened.cursor;
  const open = (from = body): Promise<Disk> => (isRaw ? decodeBareRaw(from, virtualSize, warn) : decodeBareVhd(from, warn));
  const { name } = source;
  yield { member: undefined, name, place, leafFirst: true, isRaw, body, content: async () => body, open: once(open) };
  await finish(source, body);
  return [];
}

/** The size of a fixed VHD or a raw disk is known at its end only. A compressed file is inflated twice for it, a pipe cannot be. */
async function withLength({ source, compression, cursor, stream, options }: OpenedSource): Promise<Cursor> {
  if (cursor.length !== undefined || !source.cursor.seekable) return cursor;
  const { bytes } = await readEnd(cursor);
  if (!options.choice.raw && !hasCookie(bytes)) throw unknownFormat();
  await source.cursor.moveTo(0);
  return stream(decompress(compression, source.cursor.chunks()), cursor.position);
}

function once<T>(open: (from?: Cursor) => Promise<T>): (from?: Cursor) => Promise<T> {
  let opened: Promise<T> | undefined;
  return (from) => {
    opened ??= open(from);
    return opened;
  };
}

/** The OVF standard lets each file of a package be gzipped. */
async function gunzipped(name: string, body: Cursor, stream: OpenedSource['stream']): Promise<Cursor> {
  return compressionOf(await body.peek(MAGIC_BYTES)) === 'gzip' ? stream(gunzipMember(name, body)) : body;
}

/** Its errors name the member, but those of the archive around it do not. */
async function* gunzipMember(name: string, body: Cursor): Chunks {
  let outer: unknown;
  async function* stored(): Chunks {
    try {
      yield* body.chunks();
    } catch (error) {
      outer = error;
      throw error;
    }
  }
  try {
    yield* decompress('gzip', stored());
  } catch (error) {
    if (error !== outer && error instanceof VdiStreamError) error.member = name;
    throw error;
  }
}
