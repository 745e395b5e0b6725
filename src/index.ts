/**
 * vdistream: streams the disks of clouds onto the block devices of Xen hosts.
 *
 * These calls do the work: `importImage` from an image to a VDI, `writeDisk` and `verifyDisk` for a device, `info`, `check`, and `reap`,
 * which clears up after imports that were killed. Below them are the building blocks they are made of.
 */

export { type Chunks, type Cursor, streamCursor } from './cursor.ts';
export type {
  Buffers,
  DataExtent,
  DecodeOptions,
  Disk,
  DiskFacts,
  DiskType,
  EmptyExtent,
  Extent,
  Identity,
  Lease,
  Parent,
  Range,
  Wanted,
} from './disk/extent.ts';
export { type Layer, overlay } from './disk/overlay.ts';
export { type CheckedDisk, type CheckOptions, type CheckResult, check, type Finding } from './engine/check.ts';
export { type DiskInfo, type ImageInfo, type InfoOptions, info, type LayerInfo } from './engine/info.ts';
export { openSource, type SourceInput } from './engine/open.ts';
export type { DiskInput } from './engine/options.ts';
export type { ZeroPolicy } from './engine/plan.ts';
export type { OnProgress, Progress } from './engine/progress.ts';
export { type Counts, type PumpOptions, pump } from './engine/pump.ts';
export {
  type VerifyDiskOptions,
  type VerifyResult,
  verifyDisk,
  type WriteOptions,
  type WriteResult,
  writeDisk,
} from './engine/write.ts';
export { ERRORS, type ErrorCode, type Guard, VdiStreamError } from './errors.ts';
export { type GlanceOptions, glanceImage } from './glance/image.ts';
export { createPool, type Pool, type PoolOptions } from './host/pool.ts';
export type { HttpOptions } from './http/client.ts';
export { type DownloadOptions, httpImage } from './http/download.ts';
export type { ManifestMode } from './ova/member-digests.ts';
export { type Member, readTar } from './ova/tar.ts';
export { type CacheOptions, cachedImage } from './source/cache.ts';
export type { Digest, Opener, Source, SourceOptions } from './source/source.ts';
export { stagedImage } from './source/staged-image.ts';
export { openTarget, type Target, type TargetOptions } from './target/target.ts';
export { decodeVhd } from './vhd/decode.ts';
export type { OnWarning, Warning, WarningCode } from './warnings.ts';
export { type DeviceOptions, type ImportOptions, type ImportResult, importImage, importToDevice } from './xen/import.ts';
export { type LeftOver, type ReapOptions, type ReapResult, reap } from './xen/reap.ts';
export type { XeOptions } from './xen/xe.ts';
