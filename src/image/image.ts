/**
 * Image: the content of a source. The readers are nested here, and only here:
 *
 *   source -> gunzip, zstd, xz -> tar member -> gunzip -> VHD or raw
 *
 * Each format is detected by content, never by name, except for raw disks, which have nothing to detect.
 */

import { type Compression, compressionOf, decompress, MAGIC_BYTES } from '../codec/compression.ts';
import type { InflateChoice } from '../codec/inflate.ts';
import { type Chunks, type Cursor, drain, type StreamCursor, streamCursor } from '../cursor.ts';
import type { Disk } from '../disk/disk.ts';
import { inMember, type OnFault, VdiStreamError } from '../errors.ts';
import { isTarHeader, TAR_BLOCK } from '../ova/header.ts';
import { isRawName, type Place } from '../ova/select.ts';
import type { Source } from '../source/source.ts';
import { decodeVhd } from '../vhd/decode.ts';
import { readEnd } from '../vhd/end.ts';
import { hasCookie } from '../vhd/footer.ts';
import { peekLinks } from '../vhd/head.ts';
import type { LinkFacts } from '../vhd/links.ts';
import type { OnWarning } from '../warnings.ts';
import { openArchive } from './archive.ts';
import type { ImageChoice } from './choice.ts';
import { type Contents, createContents } from './contents.ts';
import { decodeBareRaw, decodeBareVhd, decodeRawMember, isVhd, unknownFormat } from './decode.ts';
import { namedDisk, type StoredDisk } from './stored.ts';

export interface Image {
  readonly kind: 'vhd' | 'tar' | 'raw';
  readonly compression: Compression;
  /**
   * When the iteration ends, the source has been read to its end and is complete. Returns what else is in the archive.
   */
  disks(): AsyncGenerator<StoredDisk, Contents, void>;
  /** Of a bare VHD, as far as they are known at its start. To be asked before `disks`. */
  links(): Promise<LinkFacts | undefined>;
  /** Ends decompression. The source stays open. */
  close(): Promise<void>;
}

export interface ImageOptions {
  readonly choice: ImageChoice;
  /** Bytes of the disk, if a stream does not give its size in time. */
  readonly virtualSize?: number | undefined;
  /** Refuse an archive of several disks, before anything is read if it can seek. */
  readonly single?: boolean | undefined;
  readonly warn: OnWarning;
  /** Handles a wrong digest, or a missing disk that the descriptor lists; by default they are thrown. */
  readonly fault?: OnFault | undefined;
}

/** The part of a source in a chain of several. */
interface SourceLayer {
  readonly place: Place;
  /** What is no VHD is a raw disk. */
  readonly mayBeRaw: boolean;
}

/** A source with the streams that decompress it. */
interface OpenedSource {
  readonly source: Source;
  readonly compression: Compression;
  /** Decompressed, from the first byte on. */
  readonly cursor: Cursor;
  /** Creates a stream on top of the source that is closed with it. */
  readonly stream: (chunks: Chunks, length?: number) => Cursor;
  readonly isRaw: boolean;
  readonly options: ImageOptions;
}

/**
 * `layer` is set for a bare disk that is one of several sources. Reads no further than the first header. Throws FORMAT_… and COMPRESSION_…
 * errors.
 */
export async function openImage(source: Source, options: ImageOptions, layer?: SourceLayer): Promise<Image> {
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
  const cursor = compression === 'none' ? source.cursor : stream(decompress(compression, source.cursor.chunks(), options.choice.inflate));

  const front = await cursor.peek(TAR_BLOCK);
  if (front.length === 0) throw new VdiStreamError('SOURCE_EMPTY', `${source.name} is empty`, { offset: 0 });
  const isTar = isTarHeader(front);
  const isRaw = options.choice.raw === true || (layer?.mayBeRaw === true && !(await isVhd(cursor)));
  const opened: OpenedSource = { source, compression, cursor, stream, isRaw, options };
  return {
    kind: isTar ? 'tar' : isRaw ? 'raw' : 'vhd',
    compression,
    links: async () => (isRaw || isTar ? undefined : peekLinks(cursor)),
    disks: () => (isTar ? archivedDisks(opened) : bareDisk(opened, front, layer?.place)),
    close,
  };
}

/** Reads to the end, which checks the CRC and length of gzip, then those of the source. */
async function finish(source: Source, cursor: Cursor): Promise<void> {
  await drain(cursor);
  await source.finish();
}

async function* archivedDisks({ source, cursor, stream, options }: OpenedSource): AsyncGenerator<StoredDisk, Contents, void> {
  const { choice, single = false, warn, fault } = options;
  const archive = await openArchive(cursor, { choice, single, warn, fault });
  const contents = yield* archive.disks((name, body, place) => {
    const isRaw = choice.raw === true || isRawName(name);
    const inside: OnWarning = (warning) => warn({ ...warning, member: name });
    const plain = (from: Cursor): Promise<Cursor> => (isRaw ? Promise.resolve(from) : gunzipped(name, from, stream, choice.inflate));
    return {
      member: name,
      name,
      place,
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
  return contents;
}

async function* bareDisk(opened: OpenedSource, front: Uint8Array, place?: Place): AsyncGenerator<StoredDisk, Contents, void> {
  const { source, isRaw, options } = opened;
  const { virtualSize, warn } = options;
  const body = isRaw || !hasCookie(front) ? await withLength(opened) : opened.cursor;
  const open = (from = body): Promise<Disk> => (isRaw ? decodeBareRaw(from, virtualSize, warn) : decodeBareVhd(from, warn));
  const { name } = source;
  yield { member: undefined, name, place, leafFirst: true, isRaw, body, content: async () => body, open: once(open) };
  await finish(source, body);
  return createContents();
}

/** The size of a fixed VHD or a raw disk is known only at its end, so a compressed file is inflated twice. A pipe cannot be. */
async function withLength({ source, compression, cursor, stream, isRaw, options }: OpenedSource): Promise<Cursor> {
  if (cursor.length !== undefined || !source.cursor.seekable) return cursor;
  const { bytes } = await readEnd(cursor);
  if (!isRaw && !hasCookie(bytes)) throw unknownFormat();
  await source.cursor.moveTo(0);
  return stream(decompress(compression, source.cursor.chunks(), options.choice.inflate), cursor.position);
}

function once<T>(open: (from?: Cursor) => Promise<T>): (from?: Cursor) => Promise<T> {
  let opened: Promise<T> | undefined;
  return (from) => {
    opened ??= open(from);
    return opened;
  };
}

/** The OVF standard lets each file of a package be gzipped. */
async function gunzipped(name: string, body: Cursor, stream: OpenedSource['stream'], inflate?: InflateChoice): Promise<Cursor> {
  return compressionOf(await body.peek(MAGIC_BYTES)) === 'gzip' ? stream(gunzipMember(name, body, inflate)) : body;
}

/** Sets the member on its own errors, but not on those of the archive around it. */
async function* gunzipMember(name: string, body: Cursor, inflate?: InflateChoice): Chunks {
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
    yield* decompress('gzip', stored(), inflate);
  } catch (error) {
    if (error !== outer && error instanceof VdiStreamError) error.member = name;
    throw error;
  }
}
