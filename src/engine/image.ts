/**
 * Image: a source seen as what it holds. The readers are nested here, and only here:
 *
 *   source -> gunzip, zstd, xz -> tar member -> VHD
 *
 * Every layer is told by its content, never by a name.
 */

import { type Cursor, drain, streamCursor } from '../cursor.ts';
import { inMember, VdiStreamError, type Warn } from '../errors.ts';
import type { Disk } from '../extent.ts';
import { type Compression, compressionOf, decompress, MAGIC_BYTES } from '../io/compression.ts';
import type { Source } from '../io/source.ts';
import { isTarHeader, TAR_BLOCK } from '../ova/header.ts';
import { isDisk, plainName } from '../ova/select.ts';
import { type Member, readTar } from '../ova/tar.ts';
import { decodeVhd } from '../vhd/decode.ts';
import { hasCookie } from '../vhd/footer.ts';

export interface Image {
  readonly kind: 'vhd' | 'tar';
  readonly compression: Compression;
  /**
   * The disks in the order in which they stand. Each is complete, or skipped, before the next is looked for; when the
   * iteration ends, the source has been read to its end and found whole.
   */
  disks(): AsyncGenerator<ImageDisk, void, void>;
}

export interface ImageDisk {
  readonly disk: Disk;
  /** Undefined for a bare VHD. */
  readonly member: string | undefined;
}

export interface ImageOptions {
  /** Look only at the member of this name. */
  readonly disk?: string | undefined;
  readonly warn?: Warn | undefined;
}

/** Throws FORMAT_… and COMPRESSION_… errors. Reads no further than the first header. */
export async function openImage(source: Source, options: ImageOptions = {}): Promise<Image> {
  const warn = options.warn ?? (() => {});
  const compression = compressionOf(await source.cursor.peek(MAGIC_BYTES));
  const unpack = (length?: number): Cursor => {
    const unpacked = streamCursor(decompress(compression, source.cursor.chunks()), length);
    source.own(() => unpacked.close());
    return unpacked;
  };
  let cursor = compression === 'none' ? source.cursor : unpack();

  const front = await cursor.peek(TAR_BLOCK);
  if (front.length === 0) throw new VdiStreamError('FORMAT_UNKNOWN', `${source.name} is empty`, { offset: 0 });
  const isTar = isTarHeader(front);

  /** The end of every layer: gzip CRC and length, then the source itself. */
  async function finish(): Promise<void> {
    await drain(cursor);
    await source.finish();
  }

  async function* tarDisks(): AsyncGenerator<ImageDisk, void, void> {
    for await (const member of readTar(cursor, warn)) {
      const name = plainName(member.name);
      try {
        if (!isDisk(member, options.disk)) continue;
        const inside: Warn = (warning) => warn({ ...warning, member: name });
        yield { member: name, disk: named(name, await decodeVhd(member.body, { warn: inside })) };
      } catch (error) {
        throw inMember(name, error);
      }
    }
    await finish();
  }

  async function* bareDisk(): AsyncGenerator<ImageDisk, void, void> {
    // A fixed VHD says its size at its end only. A compressed file is inflated twice for it, a pipe cannot be.
    if (!hasCookie(front) && cursor.length === undefined && source.cursor.seekable) {
      await drain(cursor);
      const { position } = cursor;
      await source.cursor.moveTo(0);
      cursor = unpack(position);
    }
    yield { member: undefined, disk: await decodeBare(cursor, warn) };
    await finish();
  }

  return { kind: isTar ? 'tar' : 'vhd', compression, disks: isTar ? tarDisks : bareDisk };
}

async function decodeBare(cursor: Cursor, warn: Warn): Promise<Disk> {
  try {
    return await decodeVhd(cursor, { warn });
  } catch (error) {
    // No tar and no VHD: the sum of both is the better sentence.
    const unknown = error instanceof VdiStreamError && error.code === 'VHD_FOOTER' && error.offset !== 64;
    throw unknown ? new VdiStreamError('FORMAT_UNKNOWN', 'this is neither a VHD nor a tar', { offset: 0, cause: error }) : error;
  }
}

/** A member's disk, whose errors name the member. */
function named(member: string, disk: Disk): Disk {
  return {
    ...disk,
    get creator() {
      return disk.creator;
    },
    async skip() {
      try {
        await disk.skip();
      } catch (error) {
        throw inMember(member, error);
      }
    },
    async *extents(buffers, signal) {
      try {
        for await (const extent of disk.extents(buffers, signal)) {
          if (extent.kind !== 'data') yield extent;
          else yield { ...extent, ready: extent.ready.catch((error: unknown) => Promise.reject(inMember(member, error))) };
        }
      } catch (error) {
        throw inMember(member, error);
      }
    },
  };
}

/**
 * The one disk of an image, whose `extents` end only when the whole source has been read: a second disk, a bad CRC or a cut
 * archive behind it are errors of its iteration.
 *
 * Where the archive can be jumped through, that is found out now, before anything is written.
 * Throws DISK_NONE, DISK_NOT_FOUND, DISK_AMBIGUOUS and whatever reading throws.
 */
export async function onlyDisk(source: Source, options: ImageOptions = {}): Promise<{ image: Image; chosen: ImageDisk }> {
  const image = await openImage(source, options);
  if (image.kind === 'tar' && source.cursor.seekable && image.compression === 'none') {
    await refuseSecond(source.cursor, options.disk);
  }
  const disks = image.disks();
  const first = await disks.next();
  if (first.done) throw noDisk(source.name, options.disk);
  const { disk, member } = first.value;

  async function finish(): Promise<void> {
    const second = await disks.next();
    if (!second.done) throw ambiguous(member, second.value.member);
  }

  const whole: Disk = {
    ...disk,
    get creator() {
      return disk.creator;
    },
    async skip() {
      await disk.skip();
      await finish();
    },
    async *extents(buffers, signal) {
      yield* disk.extents(buffers, signal);
      await finish();
    },
  };
  return { image, chosen: { member, disk: whole } };
}

async function refuseSecond(cursor: Cursor, wanted: string | undefined): Promise<void> {
  let first: Member | undefined;
  for await (const member of readTar(cursor)) {
    if (!isDisk(member, wanted)) continue;
    if (first !== undefined) throw ambiguous(plainName(first.name), plainName(member.name));
    first = member;
  }
  await cursor.moveTo(0);
}

export function noDisk(source: string, wanted: string | undefined): VdiStreamError {
  return wanted === undefined
    ? new VdiStreamError('DISK_NONE', `${source} holds no VHD`)
    : new VdiStreamError('DISK_NOT_FOUND', `${source} holds no member "${wanted}"`);
}

function ambiguous(first: string | undefined, second: string | undefined): VdiStreamError {
  return new VdiStreamError('DISK_AMBIGUOUS', `the archive holds both "${first}" and "${second}", and none was chosen`, { member: second });
}
