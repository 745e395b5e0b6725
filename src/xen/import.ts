/** Import: writes an image to a new VDI on a storage repository of any type. */

import { checkOptions, checkPath } from '../arguments.ts';
import { inputOf } from '../engine/input.ts';
import { bytesRead } from '../engine/job.ts';
import type { DiskInput } from '../engine/options.ts';
import { type WriteResult, writeDisk, writeTo } from '../engine/write.ts';
import { VdiStreamError } from '../errors.ts';
import type { ImportDeviceOptions, ImportOptions } from './options.ts';
import { recordedOwnership, type TakeOwnership } from './ownership.ts';
import { withOwnDevice, withPrepared } from './prepare.ts';
import { createReaper, type Reaper } from './reap.ts';
import { createRecords } from './record.ts';
import { sourceDigest } from './source-digest.ts';
import type { ImportToolstack, Toolstack } from './toolstack.ts';
import { withVdis } from './vdi.ts';
import { remoteOwnership } from './xapi-ownership.ts';
import { withXapi } from './xapi-toolstack.ts';
import type { XeOptions } from './xe.ts';
import { createXeToolstack } from './xe-toolstack.ts';

/** Sizes in bytes. `target` is the device that the disk was written to, detached by now. */
export interface ImportResult extends WriteResult {
  /** uuid of the new VDI. */
  readonly vdi: string;
  readonly sr: string;
  readonly name: string;
  /** Bytes in the VDI: virtualSize, rounded up by the storage repository. The rest after the disk reads as zero. */
  readonly vdiSize: number;
}

/**
 * Creates a VDI on a storage repository and writes the disk of an image to it.
 *
 * Resolves once the image has been read to its end and checked, the disk is synced to the medium, and the VDI is detached. Otherwise rejects
 * with a VdiStreamError: the VDI and its VBD have been removed, or the error's `left` lists what has not.
 */
export async function importImage(given: DiskInput, allOptions: ImportOptions): Promise<ImportResult> {
  const input = inputOf('importImage', given);
  checkOptions('importImage', allOptions);
  const { xe, xapi, ...options } = allOptions;
  if (xapi === undefined) return importWith(importTools(xe), input, options);
  if (options.verify) throw new VdiStreamError('USAGE', 'a VDI that is written through xapi cannot be read back, so it cannot be verified');
  return withXapi(xapi, options.signal, (toolstack) =>
    importWith({ toolstack, reaper: undefined, takeOwnership: remoteOwnership }, input, options),
  );
}

/** What all imports to one host or pool need. */
interface ImportTools {
  readonly toolstack: ImportToolstack;
  readonly reaper: Reaper | undefined;
  readonly takeOwnership: TakeOwnership;
}

export interface Dom0Tools extends ImportTools {
  readonly toolstack: Toolstack;
  readonly reaper: Reaper;
}

export function importTools(xe: XeOptions | undefined): Dom0Tools {
  const toolstack = createXeToolstack(xe);
  return {
    toolstack,
    reaper: createReaper(toolstack, xe),
    takeOwnership: recordedOwnership(toolstack, createRecords(xe?.records)),
  };
}

/** One import, with checked arguments. */
export function importWith(
  { toolstack, reaper, takeOwnership }: ImportTools,
  input: DiskInput,
  options: Omit<ImportOptions, 'xe' | 'xapi'>,
): Promise<ImportResult> {
  const { zero, verify, force, onProgress, disk, raw, rawBase, rawVdi, sha256 } = options;
  return withPrepared(
    toolstack,
    reaper,
    input,
    { ...options, dryRun: false },
    async ({ wanted, readsZero, chosen, sources, job, signal }) => {
      const { sr, name } = wanted;
      const source = sourceDigest(
        sources.map(({ identity }) => identity),
        { disk, raw, rawBase, rawVdi, sha256 },
      );
      const imported = await withVdis(
        toolstack,
        (fill) =>
          fill(wanted, async ({ vdi, size, target }) => {
            const written = await writeTo(target, chosen, sources, { zero, zeroTail: true, verify, force, signal, onProgress }, job);
            return { ...written, vdi, sr, name, vdiSize: size };
          }),
        // An explicit `zero` policy applies even if new disks read as zero.
        { readsZero: readsZero && zero === undefined, takeOwnership, source, signal, onWarning: job.warn },
      );
      return { ...imported, bytesRead: bytesRead(sources), seconds: job.seconds() };
    },
  );
}

/**
 * Writes to a device that the caller has attached and will detach: fills it to its end, syncs and closes it, and waits for udev. With `sr`,
 * it skips zeros if new disks of that SR read as zero.
 */
export async function importToDevice(given: DiskInput, device: string, allOptions: ImportDeviceOptions = {}): Promise<WriteResult> {
  const input = inputOf('importToDevice', given);
  checkPath('importToDevice', 'the device', device);
  checkOptions('importToDevice', allOptions);
  const { xe, ...options } = allOptions;
  return withOwnDevice(createXeToolstack(xe), device, options, ({ target }, write) => writeDisk(input, target, write));
}
