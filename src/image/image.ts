/**
 * Image: the content of a source. The readers are nested here, and only here:
 *
 *   source -> decompression -> tar member -> decompression -> VHD or raw
 *
 * Each format is detected by content, never by name, except for raw disks, which have nothing to detect. Where the end can be seen, it
 * decides: what ends in the footer of a fixed VHD of exactly its length is that disk, whatever it begins with.
 */

import type { Compression } from '../codec/compression.ts';
import { type Chunks, type Cursor, drain, type StreamCursor, streamCursor } from '../cursor.ts';
import type { Disk } from '../disk/disk.ts';
import { inMember, type OnFault, VdiStreamError } from '../errors.ts';
import { type Stages, untimed } from '../host/stages.ts';
import { isTarHeader, TAR_BLOCK } from '../ova/header.ts';
import { isPackedMember, isRawName, type Place } from '../ova/select.ts';
import type { Source } from '../source/source.ts';
import { decodeVhd } from '../vhd/decode.ts';
import { endsAsFixed } from '../vhd/exact.ts';
import { FOOTER_SIZE } from '../vhd/footer.ts';
import { peekLinks } from '../vhd/head.ts';
import type { LinkFacts } from '../vhd/links.ts';
import type { OnWarning } from '../warnings.ts';
import { openArchive } from './archive.ts';
import type { ImageChoice } from './choice.ts';
import { isPlain, openContent } from './content.ts';
import { type Contents, createContents } from './contents.ts';
import { decodeBareRaw, decodeBareVhd, decodeRawMember, isVhd, ofBare } from './decode.ts';
import { vhdOnDevice } from './device.ts';
import { fixedOfSize, skimmed } from './sized.ts';
import { namedDisk, type StoredDisk } from './stored.ts';
import { unlessFixed } from './tail.ts';

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
  /** Read a stream to its end for the size of a disk that is only there. Its data cannot be read then. */
  readonly measure?: boolean | undefined;
  /** Refuse an archive of several disks, before anything is read if it can seek. */
  readonly single?: boolean | undefined;
  /** Every disk of an archive is read, also what is ignored where one is chosen; a disk in another format is refused. */
  readonly allDisks?: boolean | undefined;
  readonly warn: OnWarning;
  /** Handles a wrong digest, or a missing disk that the descriptor lists; by default they are thrown. */
  readonly fault?: OnFault | undefined;
  readonly stages?: Stages | undefined;
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
  /** Of the source. */
  readonly compression: Compression;
  /** Decompressed, from the first byte on. */
  readonly cursor: Cursor;
  /** Creates a stream on top of the source that is closed with it. */
  readonly stream: (chunks: Chunks, length?: number) => StreamCursor;
  readonly isRaw: boolean;
  /** Closes the streams on top of `cursor`, which would move it. */
  readonly closeMember: () => Promise<void>;
  readonly options: ImageOptions;
}

/**
 * `layer` is set for a bare disk that is one of several sources. Reads no further than the first header. Throws FORMAT_… and COMPRESSION_…
 * errors.
 */
export async function openImage(source: Source, options: ImageOptions, layer?: SourceLayer): Promise<Image> {
  const { raw = false, inflate } = options.choice;
  const streams: StreamCursor[] = [];
  const closeFrom = async (first: number): Promise<void> => {
    for (const cursor of streams.splice(first).reverse()) await cursor.close();
  };
  const close = (): Promise<void> => closeFrom(0);
  source.own(close);
  const stream: OpenedSource['stream'] = (chunks, length) => {
    const cursor = streamCursor(chunks, length);
    streams.push(cursor);
    return cursor;
  };
  const { warn, stages } = options;
  const mayBeRaw = layer?.mayBeRaw === true;
  const content = await bare(() => openContent({ cursor: source.cursor, stream, inflate, stages, isRaw: raw, mayBeRaw, warn }));
  const { compression } = content;
  const cursor = content.cursor.isDevice ? await vhdOnDevice(content.cursor, warn) : content.cursor;
  const front = await cursor.peek(TAR_BLOCK);
  if (front.length === 0) throw new VdiStreamError('SOURCE_EMPTY', `${source.name} is empty`, { offset: 0 });
  const isTar = isTarHeader(front) && !(await endsAsFixed(cursor));
  const isRaw = raw || (mayBeRaw && !(await isVhd(cursor)));
  const own = streams.length;
  const opened: OpenedSource = { source, compression, cursor, stream, isRaw, closeMember: () => closeFrom(own), options };
  return {
    kind: isTar ? 'tar' : isRaw ? 'raw' : 'vhd',
    compression,
    links: async () => (isRaw || isTar ? undefined : peekLinks(cursor)),
    disks: () => (isTar ? archivedDisks(opened) : bareDisk(opened, layer?.place)),
    close,
  };
}

/** Reads to the end, which checks the CRC and length of gzip, then those of the source. */
async function finish(source: Source, cursor: Cursor): Promise<void> {
  await drain(cursor);
  await source.finish();
}

async function* archivedDisks(opened: OpenedSource): AsyncGenerator<StoredDisk, Contents, void> {
  const { source, cursor: from, stream, closeMember, options } = opened;
  const { choice, single = false, allDisks = false, virtualSize, measure, warn, fault, stages = untimed } = options;
  const cursor = from.seekable ? from : stream(unlessFixed(from.chunks(), 'a tar'), from.length);
  const archive = await stages.during('tar', openArchive(cursor, { choice, single, allDisks, warn, fault }));
  const disks = archive.disks((name, body, place, ahead) => {
    const isRaw = choice.raw === true || isRawName(name);
    const inside: OnWarning = (warning) => warn({ ...warning, member: name });
    const accepts = (compression: Compression): boolean => isPackedMember(name, compression);
    const plain = async (stored: Cursor): Promise<Cursor> => {
      if (isRaw) return stored;
      const { inflate } = choice;
      const look = stored === body ? ahead : undefined;
      const content = await openContent({
        cursor: stored,
        ahead: look,
        stream,
        inflate,
        stages,
        member: name,
        isRaw,
        accepts,
        warn: inside,
      });
      return withSize(content.cursor, { member: name, isRaw }, stream, { virtualSize, measure, warn: inside });
    };
    return {
      member: name,
      name,
      place,
      leafFirst: archive.leafFirst,
      isRaw,
      body,
      content: () => plain(body),
      open: once(async (stored = body) => {
        try {
          const content = await plain(stored);
          return namedDisk(name, isRaw ? await decodeRawMember(content, inside) : await decodeVhd(content, { onWarning: inside }));
        } catch (error) {
          throw inMember(name, error);
        }
      }),
    };
  });
  const following = (): ReturnType<typeof disks.next> => stages.during('tar', disks.next());
  let next = await following();
  for (; !next.done; next = await following()) {
    yield next.value;
    if (cursor.seekable) await closeMember();
  }
  await finish(source, cursor);
  return next.value;
}

async function* bareDisk(opened: OpenedSource, place?: Place): AsyncGenerator<StoredDisk, Contents, void> {
  const { source, compression, cursor, stream, isRaw, options } = opened;
  const { virtualSize, warn } = options;
  const body = await withSize(cursor, { member: undefined, isRaw }, stream, options);
  const decode = (from: Cursor): Promise<Disk> => (isRaw ? decodeBareRaw(from, virtualSize, warn) : decodeBareVhd(from, warn));
  const open = (from = body): Promise<Disk> => decode(from).catch((error: unknown) => Promise.reject(unsized(error, compression)));
  const { name } = source;
  yield { member: undefined, name, place, leafFirst: true, isRaw, body, content: async () => body, open: once(open) };
  await finish(source, body);
  return createContents();
}

/** Names the compression, which says why a file that has a length is of unknown size. */
function unsized(error: unknown, compression: Compression): unknown {
  if (compression === 'none' || !(error instanceof VdiStreamError) || error.code !== 'DISK_SIZE_UNKNOWN') return error;
  return new VdiStreamError(error.code, `${error.message}, after the ${compression} data is decompressed`, {
    offset: error.offset,
    cause: error,
  });
}

/** A disk without blocks whose size is at its end, in a stream without a length: with the size that was given or, for its facts, found. */
async function withSize(
  cursor: Cursor,
  { member, isRaw }: Pick<StoredDisk, 'member' | 'isRaw'>,
  stream: OpenedSource['stream'],
  { virtualSize, measure, warn }: Pick<ImageOptions, 'virtualSize' | 'measure' | 'warn'>,
): Promise<Cursor> {
  if (cursor.length !== undefined || !(isRaw || isPlain(await cursor.peek(TAR_BLOCK), member))) return cursor;
  if (virtualSize !== undefined) return isRaw ? cursor : stream(fixedOfSize(cursor.chunks(), virtualSize, warn), virtualSize + FOOTER_SIZE);
  return measure ? skimmed(cursor) : cursor;
}

async function bare<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw ofBare(error);
  }
}

function once<T>(open: (from?: Cursor) => Promise<T>): (from?: Cursor) => Promise<T> {
  let opened: Promise<T> | undefined;
  return (from) => {
    opened ??= open(from);
    return opened;
  };
}
