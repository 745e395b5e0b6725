/**
 * The parts that the calls of `vdistream` are built from, each usable on its own: bytes, members of a tar, the disk in a VHD, the
 * extents of a chain, writes to a target. `examples/write-disk.mjs` puts them together.
 */

export { type Compression, compressionOf, decompress, MAGIC_BYTES } from './codec/compression.ts';
export { gunzip } from './codec/gunzip.ts';
export { type GzipOptions, gzip } from './codec/gzip.ts';
export { type Chunks, type Cursor, drain, type StreamCursor, streamCursor } from './cursor.ts';
export type { DecodeOptions, Disk, DiskFacts, DiskType, ExtentOptions, Identity, Parent, Range, Wanted } from './disk/disk.ts';
export type { Buffers, DataExtent, EmptyExtent, Extent, Lease } from './disk/extent.ts';
export { discard } from './disk/extent.ts';
export { type Layer, type OverlayOptions, overlay } from './disk/overlay.ts';
export { rawDisk } from './disk/raw.ts';
export { openSource, targetOpener } from './engine/open.ts';
export { plan, type ZeroPolicy } from './engine/plan.ts';
export { type Pumped, type PumpOptions, pump } from './engine/pump.ts';
export { emptySums, type ReadBackOptions, verifySums } from './engine/sums.ts';
export type { Counts } from './engine/writer.ts';
export type { Sums } from './host/native.ts';
export { createPool, type Pool, type PoolOptions } from './host/pool.ts';
export { isTarHeader, TAR_BLOCK } from './ova/header.ts';
export { type Member, readTar } from './ova/tar.ts';
export { decodeVhd } from './vhd/decode.ts';
