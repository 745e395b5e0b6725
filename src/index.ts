/**
 * vdistream: streams virtual disks from images onto the block devices of Xen hosts.
 *
 * `importImage` writes an image to a new VDI, `writeDisk` and `verifyDisk` work on a device, `info` and `check` only read, and `reap`
 * removes what killed imports and exports left behind. `vdistream/blocks` has the parts they are built from.
 */

export type { InflateChoice, InflateName } from './codec/inflate.ts';
export type { DiskOpener, ReadableDisk } from './disk/readable.ts';
export { type CheckedDisk, type CheckResult, check, type Finding } from './engine/check.ts';
export { type DiskDryRun, dryRunWrite, type WriteDryRun } from './engine/dry-run.ts';
export { exportDisk } from './engine/export.ts';
export type { Container, ExportCompression, ExportFormat } from './engine/export-form.ts';
export type { DiskSource, DisksInput, ExportedDisk, ExportOptions, ExportResult } from './engine/export-options.ts';
export { type DiskInfo, type ImageInfo, type InfoOptions, info, type LayerInfo } from './engine/info.ts';
export type { SourceInput } from './engine/input.ts';
export type { DiskOptions } from './engine/job.ts';
export type { SinkInput, TargetInput } from './engine/open.ts';
export type { DiskInput, ReadOptions } from './engine/options.ts';
export type { ZeroPolicy } from './engine/plan.ts';
export type { OnProgress, Progress } from './engine/progress.ts';
export { uploadImage } from './engine/upload.ts';
export type { UploadImageOptions, UploadResult } from './engine/upload-options.ts';
export { type VerifyResult, verifyDisk } from './engine/verify.ts';
export { type WriteOptions, type WriteResult, writeDisk } from './engine/write.ts';
export { type AtFault, ERRORS, type ErrorCode, type Guard, type Remedy, VdiStreamError } from './errors.ts';
export { type GlanceOptions, glanceImage } from './glance/image.ts';
export type { ImageAttributes, Visibility } from './glance/record.ts';
export { type GlanceUploadOptions, glanceSink } from './glance/upload.ts';
export { createPool, type Pool, type PoolOptions } from './host/pool.ts';
export type { StageTime, StageTimes } from './host/stages.ts';
export type { HttpOptions } from './http/client.ts';
export { type DownloadOptions, httpImage } from './http/download.ts';
export { httpSink, type UploadOptions } from './http/upload.ts';
export { type NbdOptions, nbdDisk } from './nbd/disk.ts';
export type { ManifestMode } from './ova/member-digests.ts';
export type { Sink, SinkOpener, SinkOptions } from './sink/sink.ts';
export { type CacheOptions, cachedImage } from './source/cache.ts';
export type { Description, Digest, Opener, Source, SourceIdentity, SourceOptions } from './source/source.ts';
export { stagedImage } from './source/staged-image.ts';
export { type DeviceOptions, deviceTarget } from './target/device.ts';
export { nullTarget } from './target/null.ts';
export type { Target, TargetOpener, TargetOptions } from './target/target.ts';
export { type OnWarning, WARNINGS, type Warning, type WarningCode } from './warnings.ts';
export { type DeviceDryRun, dryRunImport, dryRunImportToDevice, type ImportDryRun, type SrDryRun } from './xen/dry-run.ts';
export { dryRunImportDisks, type ImportDisksDryRun, type ListedDisk } from './xen/dry-run-disks.ts';
export { type ImportResult, importImage, importToDevice } from './xen/import.ts';
export { importDisks } from './xen/import-disks.ts';
export { type ImportImagesOptions, type ImportItem, type ImportOutcome, importImages } from './xen/import-list.ts';
export type { LeftOverVbd } from './xen/left-over-vbd.ts';
export type { ImportDeviceOptions, ImportDisksOptions, ImportOptions } from './xen/options.ts';
export { type LeftOver, type OperatorCommands, type ReapOptions, type ReapResult, reap } from './xen/reap.ts';
export { type VdiDiskOptions, vdiDisk } from './xen/vdi-disk.ts';
export type { XapiOptions } from './xen/xapi-options.ts';
export type { XeOptions } from './xen/xe.ts';
