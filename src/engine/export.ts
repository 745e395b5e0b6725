/** Export: from devices, files and VDIs to an image. Each disk is read twice: for the map of its blocks, and for the blocks. */

import { randomBytes } from 'node:crypto';
import { checkDisks, checkOptions, checkOutput } from '../arguments.ts';
import { gzip } from '../codec/gzip.ts';
import type { Disk, Identity } from '../disk/disk.ts';
import { closeDisks, type ReadableDisk } from '../disk/readable.ts';
import { afterCleanUp, assert, VdiStreamError } from '../errors.ts';
import { native } from '../host/native.ts';
import { openDisks } from '../image/disks.ts';
import { type PackedArchive, packTar } from '../ova/pack.ts';
import { packOva } from '../ova/pack-ova.ts';
import type { SinkOpener } from '../sink/sink.ts';
import { encodeRaw, encodeVhd, MAX_BLOCK } from '../vhd/encode.ts';
import { CREATOR } from '../vhd/encode-metadata.ts';
import type { EncodedDisk } from '../vhd/encoded.ts';
import { EPOCH } from '../vhd/footer.ts';
import { applianceName, type ExportForm, exportForm, memberNames } from './export-form.ts';
import type { DisksInput, ExportedDisk, ExportOptions, ExportResult } from './export-options.ts';
import { createJob, type Job } from './job.ts';
import { diskSource, type SinkInput, sinkOpener } from './open.ts';
import { exporting } from './progress.ts';
import { scan } from './scan.ts';
import { scannedDisk } from './scanned-disk.ts';
import { send } from './send.ts';
import { verifyExport } from './verify-export.ts';

/**
 * Writes an image of disks to a file, to standard output (`-`), or to the sink of an opener.
 *
 * Resolves only when the image is complete and on the medium, and no block that the map of a disk left out holds data by now. Otherwise
 * rejects with a VdiStreamError, and no file appears.
 */
export async function exportDisk(given: DisksInput, output: SinkInput, options: ExportOptions = {}): Promise<ExportResult> {
  checkDisks('exportDisk', given);
  checkOutput('exportDisk', output);
  checkOptions('exportDisk', options);
  const { raw = false, rawBase = false, force = [], signal, onWarning, pool } = options;
  const job = createJob({ pool, onWarning });
  const sink = sinkOpener(output);
  const anyParent = force.includes('parent');
  await refuseEarly(sink, options);
  const disks = await openDisks((isSeveral(given) ? given : [given]).map(diskSource), {
    raw,
    rawBase,
    anyParent,
    signal,
    onWarning: job.warn,
  });
  const exported = await exportOpened(disks, sink, options, job).catch(async (error: unknown) => {
    throw await afterCleanUp(error, () => closeDisks(disks));
  });
  await closeDisks(disks);
  return { ...exported, seconds: job.seconds(), warnings: job.warnings };
}

/** What would fail anyway, before a disk is opened or read for hours. */
async function refuseEarly(
  sink: SinkOpener,
  { format, container, verify = false, singlePass, force = [], ...form }: ExportOptions,
): Promise<void> {
  const { format: known } = exportForm(sink.name, { format, container, compress: form.compress }, 1);
  if (verify && !sink.readable) throw new VdiStreamError('USAGE', `${sink.name} cannot be read back, so it cannot be verified`);
  if (known === 'vhd' && singlePass) {
    throw new VdiStreamError('USAGE', 'a dynamic VHD needs two passes over the disk; fixed-vhd and raw need only one');
  }
  await sink.check?.({ replace: force.includes('content') });
}

const isSeveral = (given: DisksInput): given is Extract<DisksInput, readonly unknown[]> => Array.isArray(given);

/** What the parts of one export share. */
type Shared = Pick<Job, 'pool' | 'warn'>;

type Exported = Omit<ExportResult, 'seconds' | 'warnings'>;

async function exportOpened(disks: readonly ReadableDisk[], to: SinkOpener, options: ExportOptions, job: Shared): Promise<Exported> {
  const { level = 1, verify = false, force = [], signal, onProgress } = options;
  const form = exportForm(to.name, options, disks.length);
  await refuseOwnSource(disks, to);

  const scanned = await scanAll(disks, form, options, job);
  const { name = applianceName(to.name) } = options;
  const members = form.container === 'none' ? [] : memberNames(form, name, disks.length);
  const image = packed(scanned, members, { form, name, options, job });
  const compressed = form.compress === 'gzip';
  const bytes = exporting(image.bytes(), image.length, onProgress);
  const bytesWritten = await send(compressed ? gzip(bytes, { level, signal }) : bytes, to, {
    length: compressed ? undefined : image.length,
    replace: force.includes('content'),
    signal,
    onWarning: job.warn,
  });
  const exported = scanned.map(
    ({ name: source, virtualSize, allocatedBytes }, index): ExportedDisk => ({
      source,
      member: members[index],
      virtualSize,
      allocatedBytes,
    }),
  );
  if (verify) await verifyExport(to.name, disks, exported, { raw: form.format === 'raw', signal, onProgress });
  return { output: to.name, ...form, disks: exported, bytesWritten, verified: verify };
}

async function refuseOwnSource(disks: readonly ReadableDisk[], { name, path }: SinkOpener): Promise<void> {
  for (const disk of disks) {
    if (path === undefined || !(await disk.sharesBytesWith(path))) continue;
    throw new VdiStreamError('USAGE', `${name} is ${disk.name}, or shares bytes with it: the image would replace its own source`);
  }
}

interface NamedDisk extends Disk {
  readonly name: string;
}

/** A dynamic VHD needs the map of its blocks before its first byte; anything else is read once. */
async function scanAll(disks: readonly ReadableDisk[], { format }: ExportForm, options: ExportOptions, job: Shared): Promise<NamedDisk[]> {
  const { blockSize = MAX_BLOCK, signal, onProgress } = options;
  const total = disks.reduce((sum, { size }) => sum + size, 0);
  const scanned: NamedDisk[] = [];
  let before = 0;
  for (const disk of disks) {
    const version = await disk.version();
    const report = (bytes: number): void =>
      onProgress?.({ phase: 'scan', done: before + bytes, total, moved: before + bytes, toMove: total });
    const map = format === 'vhd' ? await scan(disk, blockSize, { pool: job.pool, signal, onProgress: report }) : undefined;
    scanned.push({ name: disk.name, ...scannedDisk(disk, { map, version, pool: job.pool, warn: job.warn }) });
    before += disk.size;
  }
  return scanned;
}

interface Packing {
  readonly form: ExportForm;
  readonly name: string;
  readonly options: ExportOptions;
  readonly job: Shared;
}

/** The image, before compression. */
function packed(disks: readonly NamedDisk[], members: readonly string[], { form, name, options, job }: Packing): PackedArchive {
  const { signal } = options;
  const encoded = disks.map((disk) => encode(disk, form, options));
  const parts = encoded.map(({ length, bytes }, index) => ({
    name: members[index] ?? '',
    length,
    virtualSize: disks[index]?.virtualSize ?? 0,
    bytes: () => bytes(job.pool, { signal }),
  }));
  const mtime = Math.floor(Date.now() / 1000);
  if (form.container === 'ova') return packOva(parts, { name, mtime });
  if (form.container === 'tar') return packTar(parts, { mtime });
  const [only] = parts;
  assert(only !== undefined && parts.length === 1, 'a bare disk is alone');
  return only;
}

function encode(disk: Disk, { format }: ExportForm, { blockSize, align }: ExportOptions): EncodedDisk {
  if (format === 'raw') return encodeRaw(disk);
  const type = format === 'vhd' ? 'dynamic' : 'fixed';
  return encodeVhd(disk, { type, blockSize, align, identity: newIdentity(), scan: native() });
}

const newIdentity = (): Identity => ({
  creator: CREATOR,
  uniqueId: randomBytes(16).toString('hex'),
  timestamp: Math.floor(Date.now() / 1000) - EPOCH,
});
