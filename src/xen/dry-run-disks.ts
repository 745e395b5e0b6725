/** Dry run of an import of all disks: everything before the first change. */

import { checkOptions } from '../arguments.ts';
import type { DiskDryRun } from '../engine/dry-run.ts';
import { inputOf } from '../engine/input.ts';
import type { DiskInput } from '../engine/options.ts';
import { plan, type ZeroPolicy } from '../engine/plan.ts';
import type { OpenedSeries } from '../engine/series.ts';
import { refuseToSum } from '../engine/write.ts';
import type { Pool } from '../host/pool.ts';
import type { ChosenDisk, DiskSummary } from '../image/chain.ts';
import type { Warning } from '../warnings.ts';
import { type SrDryRun, srDryRun } from './dry-run.ts';
import type { ImportDisksOptions } from './options.ts';
import { orCancellation, withPreparedSeries } from './prepare.ts';
import { createReaper } from './reap.ts';
import { vdiName } from './vdi-name.ts';
import { createXeToolstack } from './xe-toolstack.ts';

/** A disk of an archive, and the VDI that would be created for it. Sizes in bytes. */
export interface ListedDisk extends Pick<DiskDryRun, 'member' | 'virtualSize' | 'allocatedBytes'> {
  /** name-label of the VDI. */
  readonly name: string;
  /** Of the leaf. */
  readonly type: string;
  readonly layers: number;
}

/** Sizes in bytes. */
export interface ImportDisksDryRun extends SrDryRun {
  /** In the order of the archive. */
  readonly disks: readonly ListedDisk[];
  /** Of all disks together. */
  readonly virtualSize: number;
  /** Files of the archive that belong to no disk. */
  readonly ignored: readonly string[];
  /** The policy for empty regions. */
  readonly zero: ZeroPolicy;
  readonly emptyRegions: DiskDryRun['emptyRegions'];
  readonly warnings: readonly Warning[];
}

/**
 * Does what `importDisks` does before it creates the first VDI, and finds all disks: of an uncompressed file it reads only their metadata, any
 * other image to its end. Rejects as `importDisks` would for the image, and with SR_FULL if the VDIs are certain not to fit.
 */
export async function dryRunImportDisks(given: DiskInput, allOptions: ImportDisksOptions): Promise<ImportDisksDryRun> {
  const input = inputOf('dryRunImportDisks', given);
  checkOptions('dryRunImportDisks', allOptions);
  const { xe, ...options } = allOptions;
  const { zero, verify, signal: cancel } = options;
  const toolstack = createXeToolstack(xe);
  return withPreparedSeries(toolstack, createReaper(toolstack, xe), input, { ...options, dryRun: true }, async (prepared) => {
    const { name, source, readsZero, signal, opened } = prepared;
    const { found, ignored } = await disksOf(opened, signal);
    const disks = found.map((disk, index) => ({ name: vdiName({ name, source, member: disk.member, index }), ...disk }));
    if (verify) for (const disk of disks) refuseToSum(disk.virtualSize);
    const virtualSize = disks.reduce((sum, disk) => sum + disk.virtualSize, 0);
    const facts = await orCancellation(srDryRun(toolstack, prepared, virtualSize, signal), cancel);
    // As in an import, an explicit `zero` policy applies even if new disks read as zero.
    const emptyRegions = plan('hole', zero ?? 'auto', readsZero && zero === undefined);
    return { ...facts, disks, virtualSize, ignored, zero: zero ?? 'auto', emptyRegions, warnings: opened.job.warnings };
  });
}

interface Listing {
  readonly found: readonly Omit<ListedDisk, 'name'>[];
  readonly ignored: readonly string[];
}

async function disksOf({ disks, plan: planned, job }: OpenedSeries, signal: AbortSignal): Promise<Listing> {
  if (planned !== undefined) {
    const found = planned.disks.map(({ member, leaf, layers, size, allocatedBytes }) => ({
      member,
      type: leaf.type,
      layers,
      virtualSize: size,
      allocatedBytes,
    }));
    return { found, ignored: planned.ignored };
  }
  const found: Omit<ListedDisk, 'name'>[] = [];
  let next = await disks.next();
  for (; !next.done; next = await disks.next()) {
    const { member, type, layers, virtualSize, allocatedBytes } = await readThrough(next.value, job.pool, signal);
    found.push({ member, type, layers, virtualSize, allocatedBytes });
  }
  return { found, ignored: next.value.ignored };
}

/** The next disk is known only once this one has been read. */
async function readThrough(disk: ChosenDisk, pool: Pool, signal: AbortSignal): Promise<DiskSummary> {
  const extents = disk.extents(pool, { signal });
  for (;;) {
    const { done, value } = await extents.next();
    if (done) return value;
    if (value.kind !== 'data') continue;
    try {
      await value.ready;
    } finally {
      value.release();
    }
  }
}
