/**
 * The parts that the calls of `vdistream` are built from, each usable on its own: bytes, members of a tar, the disk in a VHD, the
 * extents of a chain, writes to a target. `examples/write-disk.mjs` puts them together.
 */

import { checkOptions } from './arguments.ts';
import { checkArguments } from './block-arguments.ts';
import { type Compression, compressionOf, decompress } from './codec/compression.ts';
import { gunzip } from './codec/gunzip.ts';
import { type GzipOptions, gzip } from './codec/gzip.ts';
import type { InflateChoice } from './codec/inflate.ts';
import { type Chunks, checkedChunks } from './cursor.ts';

export { type Compression, MAGIC_BYTES } from './codec/compression.ts';
export type { GzipOptions } from './codec/gzip.ts';
export { type Chunks, type Cursor, drain, type StreamCursor, streamCursor } from './cursor.ts';
export type { DecodeOptions, Disk, DiskEnd, DiskFacts, DiskType, ExtentOptions, Identity, Parent, Range, Wanted } from './disk/disk.ts';
export type { Buffers, DataExtent, EmptyExtent, Extent, Lease } from './disk/extent.ts';
export { discard } from './disk/extent.ts';
export { type Layer, type OverlayOptions, overlay } from './disk/overlay.ts';
export { rawDisk } from './disk/raw.ts';
export type { Tap } from './disk/tap.ts';
export { openSource, targetOpener } from './engine/open.ts';
export { plan, type ZeroPolicy } from './engine/plan.ts';
export { type Extents, type Pumped, type PumpOptions, pump } from './engine/pump.ts';
export { emptySums, type ReadBackOptions, verifySums } from './engine/sums.ts';
export type { Counts } from './engine/writer.ts';
export type { Sums } from './host/native.ts';
export { createPool, type Pool, type PoolOptions } from './host/pool.ts';
export { isTarHeader, TAR_BLOCK } from './ova/header.ts';
export { type PackedArchive, type PackMember, type PackOptions, packTar } from './ova/pack.ts';
export { type OvaDisk, type OvaOptions, packOva } from './ova/pack-ova.ts';
export { type Member, readTar } from './ova/tar.ts';
export { decodeVhd } from './vhd/decode.ts';
export { encodeRaw, encodeVhd, type VhdLayoutOptions } from './vhd/encode.ts';
export { CREATOR } from './vhd/encode-metadata.ts';
export type { EncodedDisk, EncodeOptions, ZeroScan } from './vhd/encoded.ts';

const checkedCompressionOf = (magic: Uint8Array): Compression => {
  checkArguments('compressionOf', magic);
  return compressionOf(magic);
};

const checkedDecompress = (compression: Compression, source: Chunks, inflate?: InflateChoice): Chunks => {
  checkArguments('decompress', compression, source, inflate);
  return decompress(compression, checkedChunks(source), inflate);
};

const checkedGunzip = (source: Chunks, inflate?: InflateChoice): Chunks => {
  checkArguments('gunzip', source, inflate);
  return gunzip(checkedChunks(source), inflate);
};

const checkedGzip = (source: Chunks, options: GzipOptions = {}): Chunks => {
  checkArguments('gzip', source);
  checkOptions('gzip', options);
  return gzip(checkedChunks(source), options);
};

export { checkedCompressionOf as compressionOf, checkedDecompress as decompress, checkedGunzip as gunzip, checkedGzip as gzip };
