/** Dry runs of imports: everything before the first change, to a storage repository or to a device. */

import { checkOptions, checkPath } from '../arguments.ts';
import { type DiskDryRun, diskDryRun, dryRunWrite, type WriteDryRun } from '../engine/dry-run.ts';
import { inputOf } from '../engine/input.ts';
import type { DiskInput } from '../engine/options.ts';
import { VdiStreamError } from '../errors.ts';
import type { ImportDeviceOptions, ImportOptions } from './options.ts';
import { orCancellation, withOwnDevice, withPrepared } from './prepare.ts';
import { createReaper, type LeftOver } from './reap.ts';
import type { Toolstack } from './toolstack.ts';
import { createXeToolstack } from './xe-toolstack.ts';
import { isLvm } from './zero-rule.ts';

/** What is known of the SR before an import. Sizes in bytes. */
export interface SrDryRun {
  readonly sr: string;
  readonly srType: string;
  /** uuid of this host. */
  readonly host: string;
  readonly rawVdi: boolean;
  /** Whether new disks of the SR read as zero. */
  readonly readsZero: boolean;
  /** Undefined if the SR does not report it. */
  readonly freeBytes: number | undefined;
  /** By how much `virtualSize` exceeds `freeBytes`. */
  readonly shortfall: number;
  /** VDIs that killed imports left behind, and that the import would remove first. */
  readonly leftOvers: readonly LeftOver[];
}

/** Sizes in bytes. The VDI would be created with `virtualSize`, which the storage repository may round up. */
export interface ImportDryRun extends DiskDryRun, SrDryRun {
  /** name-label of the VDI. */
  readonly name: string;
}

/**
 * Does what `importImage` does before it creates the VDI: opens the image, finds the disk and its size, and asks the toolstack about the host
 * and the SR. Removes no left-over VDI. Rejects as `importImage` would up to there, and with SR_FULL if the VDI is certain not to fit.
 */
export async function dryRunImport(given: DiskInput, allOptions: Omit<ImportOptions, 'xapi'>): Promise<ImportDryRun> {
  const input = inputOf('dryRunImport', given);
  checkOptions('dryRunImport', allOptions);
  const { xe, ...options } = allOptions;
  const { zero, signal: cancel } = options;
  const toolstack = createXeToolstack(xe);
  return withPrepared(
    toolstack,
    createReaper(toolstack, xe),
    input,
    { ...options, dryRun: true },
    async ({ wanted, chosen, job, signal, ...found }) => {
      const { sr, name, size, raw } = wanted;
      const facts = await orCancellation(srDryRun(toolstack, { ...found, sr, raw }, size, signal), cancel);
      // As in an import, an explicit `zero` policy applies even if new disks read as zero.
      const regions = { zero, readsZero: found.readsZero && zero === undefined, warnings: job.warnings };
      return { ...facts, name, ...diskDryRun(chosen, regions) };
    },
  );
}

interface SrAnswers extends Pick<SrDryRun, 'sr' | 'readsZero' | 'leftOvers'> {
  readonly raw: boolean;
}

/** `size`: bytes that the disks have. Throws SR_FULL. */
export async function srDryRun(
  toolstack: Toolstack,
  { sr, raw, readsZero, leftOvers: found }: SrAnswers,
  size: number,
  signal: AbortSignal,
): Promise<SrDryRun> {
  const leftOvers = found.filter(({ owner }) => owner === 'dead');
  const host = await toolstack.host(signal);
  const srType = await toolstack.srType(sr, signal);
  const freeBytes = await toolstack.freeSpace(sr, signal);
  const shortfall = freeBytes === undefined ? 0 : Math.max(0, size - freeBytes);
  // A volume has its full size while it is written. Elsewhere a disk may need less, and removing left-over VDIs frees space.
  if (shortfall > 0 && isLvm(srType.toLowerCase()) && leftOvers.length === 0) {
    throw new VdiStreamError('SR_FULL', `SR ${sr} has ${freeBytes} bytes free, but the image needs ${size}`);
  }
  return { sr, srType, host, rawVdi: raw, readsZero, freeBytes, shortfall, leftOvers };
}

export interface DeviceDryRun extends WriteDryRun {
  /** Whether the toolstack says that the device is plugged into this Dom0 for writing. Any other device is guarded as everywhere. */
  readonly attached: boolean;
}

/** Does what `importToDevice` does before the first write, and rejects as it would up to there. */
export async function dryRunImportToDevice(given: DiskInput, device: string, allOptions: ImportDeviceOptions = {}): Promise<DeviceDryRun> {
  const input = inputOf('dryRunImportToDevice', given);
  checkPath('dryRunImportToDevice', 'the device', device);
  checkOptions('dryRunImportToDevice', allOptions);
  const { xe, ...options } = allOptions;
  return withOwnDevice(createXeToolstack(xe), device, options, async ({ target, attached }, write) => ({
    ...(await dryRunWrite(input, target, write)),
    attached,
  }));
}
