/**
 * Image: a source seen as what it holds. The readers are nested here, and only here:
 *
 *   source -> gunzip, zstd, xz -> tar member -> gunzip -> VHD or raw
 *
 * Every layer is told by its content, never by a name; but for a raw disk, which can only be told by its name or by the caller.
 */

import { type Compression, compressionOf, decompress, MAGIC_BYTES } from '../codec/compression.ts';
import { type Chunks, type Cursor, drain, type StreamCursor, streamCursor } from '../cursor.ts';
import type { Disk } from '../disk/extent.ts';
import { refuseOtherFormat } from '../disk/other-formats.ts';
import { rawDisk } from '../disk/raw.ts';
import { inMember, type OnFault, VdiStreamError } from '../errors.ts';
import { isTarHeader, TAR_BLOCK } from '../ova/header.ts';
import { isRawName } from '../ova/select.ts';
import type { Source } from '../source/source.ts';
import { decodeVhd } from '../vhd/decode.ts';
import { lookAtEnd, readEnd } from '../vhd/end.ts';
import { FOOTER_SIZE, hasCookie } from '../vhd/footer.ts';
import type { OnWarning } from '../warnings.ts';
import { openArchive } from './archive.ts';
import type { ImageChoice } from './choice.ts';

export interface Image {
  readonly kind: 'vhd' | 'tar' | 'raw';
  readonly compression: Compression;
  /**
   * Each is complete, or skipped, before the next is looked for; when the iteration ends, the source has been read to its end
   * and found whole.
   */
  disks(): AsyncGenerator<ImageDisk, void, void>;
  /** Files of the archive that are no part of any disk, as far as they have gone by. */
  ignored(): readonly string[];
  /** Whether the layers of a chain come leaf first; known once the first disk has come. */
  leafFirst(): boolean;
  /** Ends what decompresses. The source stays open. */
  close(): Promise<void>;
}

export interface ImageDisk {
  /** Undefined for a bare disk. */
  readonly member: string | undefined;
  /** Its bytes as they are stored. */
  readonly body: Cursor;
  /** Its bytes as they are meant: not gzipped any more. */
  content(from?: Cursor): Promise<Cursor>;
  /** It has no format. */
  readonly isRaw: boolean;
  /** Reads the metadata. `from` holds the same bytes as `body` where that has been used up. */
  open(from?: Cursor): Promise<Disk>;
}

export interface ImageOptions extends ImageChoice {
  /** Bytes of a raw disk that comes as a stream. */
  readonly virtualSize?: number | undefined;
  readonly warn?: OnWarning | undefined;
  /** What is done about a wrong digest, or a disk that the OVF names in vain; they are thrown by default. */
  readonly fault?: OnFault | undefined;
}

/** Throws FORMAT_… and COMPRESSION_… errors. Reads no further than the first header. */
export async function openImage(source: Source, options: ImageOptions = {}): Promise<Image> {
  const { warn = () => {}, raw = false } = options;
  const compression = compressionOf(await source.cursor.peek(MAGIC_BYTES));
  const unpacked: StreamCursor[] = [];
  async function close(): Promise<void> {
    for (const cursor of unpacked.splice(0).reverse()) await cursor.close();
  }
  source.own(close);

  function unpacking(chunks: Chunks, length?: number): Cursor {
    const cursor = streamCursor(chunks, length);
    unpacked.push(cursor);
    return cursor;
  }
  const unpack = (length?: number): Cursor => unpacking(decompress(compression, source.cursor.chunks()), length);
  let cursor = compression === 'none' ? source.cursor : unpack();

  const front = await cursor.peek(TAR_BLOCK);
  if (front.length === 0) throw new VdiStreamError('SOURCE_EMPTY', `${source.name} is empty`, { offset: 0 });
  const isTar = isTarHeader(front);
  const archive = openArchive(cursor, { ...options, warn });

  /** The end of every layer: gzip CRC and length, then the source itself. */
  async function finish(): Promise<void> {
    await drain(cursor);
    await source.finish();
  }

  async function* tarDisks(): AsyncGenerator<ImageDisk, void, void> {
    for await (const { name, body } of archive.disks()) {
      const isRaw = raw || isRawName(name);
      const content = (from = body): Promise<Cursor> => plain(name, from, isRaw);
      yield {
        member: name,
        body,
        isRaw,
        content,
        async open(from = body) {
          const inside: OnWarning = (warning) => warn({ ...warning, member: name });
          try {
            return named(name, await decode(await content(from), { isRaw, warn: inside }));
          } catch (error) {
            throw inMember(name, error);
          }
        },
      };
    }
    await finish();
  }

  /** The OVF standard lets each file of a package be gzipped. A raw disk may begin with anything. */
  async function plain(name: string, body: Cursor, isRaw: boolean): Promise<Cursor> {
    if (isRaw || compressionOf(await body.peek(MAGIC_BYTES)) !== 'gzip') return body;
    return unpacking(gunzipMember(name, body));
  }

  async function* bareDisk(): AsyncGenerator<ImageDisk, void, void> {
    // The size of a fixed VHD or a raw disk is known at its end only. A compressed file is inflated twice for it, a pipe cannot be.
    if ((raw || !hasCookie(front)) && cursor.length === undefined && source.cursor.seekable) {
      const { bytes } = await readEnd(cursor);
      if (!raw && !hasCookie(bytes)) throw unknownFormat();
      const { position } = cursor;
      await source.cursor.moveTo(0);
      cursor = unpack(position);
    }
    const body = cursor;
    const how = { isRaw: raw, size: options.virtualSize, bare: true };
    const content = async (from = body): Promise<Cursor> => from;
    yield { member: undefined, body, isRaw: raw, content, open: (from = body) => decode(from, { ...how, warn }) };
    await finish();
  }

  return {
    kind: isTar ? 'tar' : raw ? 'raw' : 'vhd',
    compression,
    disks: isTar ? tarDisks : bareDisk,
    ignored: () => archive.ignored,
    leafFirst: () => archive.leafFirst,
    close,
  };
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

interface Decoding {
  readonly isRaw: boolean;
  /** Bytes of a raw disk, where the caller knows. */
  readonly size?: number | undefined;
  readonly bare?: boolean;
  readonly warn: OnWarning;
}

async function decode(cursor: Cursor, { isRaw, size, bare, warn }: Decoding): Promise<Disk> {
  if (isRaw) {
    // Written as they are, the bytes of another format would become the guest's data.
    if (!(await isVhd(cursor))) {
      refuseOtherFormat(await cursor.peek(FOOTER_SIZE));
      return rawDisk(cursor, size, warn);
    }
    if (bare) throw new VdiStreamError('FORMAT_OTHER', 'this is a VHD, not a raw disk: leave out --raw', { offset: 0 });
  }
  try {
    return await decodeVhd(cursor, { onWarning: warn });
  } catch (error) {
    throw bare ? ofBare(error) : error;
  }
}

/** By the footer in front, or at the end where that can be seen. */
async function isVhd(cursor: Cursor): Promise<boolean> {
  if (hasCookie(await cursor.peek(FOOTER_SIZE))) return true;
  const end = await lookAtEnd(cursor);
  return end !== undefined && hasCookie(end.bytes);
}

/** No tar and no VHD: the sum of both is the better sentence. */
export const ofBare = (error: unknown): unknown =>
  error instanceof VdiStreamError && error.code === 'VHD_FOOTER' ? unknownFormat(error) : error;

const unknownFormat = (cause?: unknown): VdiStreamError =>
  new VdiStreamError('FORMAT_UNKNOWN', 'this is neither a VHD nor a tar, perhaps a raw disk', { offset: 0, cause });

/** A member's disk, whose errors name the member. */
function named(member: string, disk: Disk): Disk {
  return {
    ...disk,
    async skip() {
      try {
        await disk.skip();
      } catch (error) {
        throw inMember(member, error);
      }
    },
    async *extents(buffers, signal, wanted) {
      try {
        for await (const extent of disk.extents(buffers, signal, wanted)) {
          if (extent.kind !== 'data') yield extent;
          else yield { ...extent, ready: extent.ready.catch((error: unknown) => Promise.reject(inMember(member, error))) };
        }
      } catch (error) {
        throw inMember(member, error);
      }
    },
  };
}
