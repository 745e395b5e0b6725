/** A dry run: everything that precedes the first write, and what a write would do after it. */

import { checkOptions, checkPlace } from '../arguments.ts';
import type { DiskType } from '../disk/disk.ts';
import type { ChosenDisk } from '../image/chain.ts';
import type { Source } from '../source/source.ts';
import type { Target } from '../target/target.ts';
import type { Warning } from '../warnings.ts';
import { inputOf } from './input.ts';
import { type Job, withDisk } from './job.ts';
import type { TargetInput } from './open.ts';
import type { DiskInput } from './options.ts';
import { plan, type ZeroPolicy } from './plan.ts';
import { kindOf, openerFor, openFor, type TargetKind, type WriteOptions } from './write.ts';

/** What is known of a disk before the first write, and how its empty regions would be treated. Sizes in bytes. */
export interface DiskDryRun {
  /** The member, or the leaf of a chain; undefined without an archive, or if it has not come yet. */
  readonly member: string | undefined;
  /** Of the leaf; undefined if it has not come yet. */
  readonly type: DiskType | undefined;
  /** Number of layers; undefined if the rest of the image may have more. */
  readonly layers: number | undefined;
  readonly virtualSize: number;
  /** Bytes of the disk that the image holds, as far as it has been read. */
  readonly allocatedBytes: number;
  /** The policy for empty regions. */
  readonly zero: ZeroPolicy;
  /** What it comes to: nothing, zeroing by the cheapest call, or writing zeros. */
  readonly emptyRegions: 'skip' | 'zero' | 'write';
  readonly warnings: readonly Warning[];
}

/** Sizes in bytes. */
export interface WriteDryRun extends DiskDryRun {
  readonly target: string;
  readonly kind: TargetKind;
  /** As it would be with the disk on it; undefined if it has no end. */
  readonly targetSize: number | undefined;
  /** The smallest unit that can be written. */
  readonly align: number;
  /** Whether the target is known to read as zero. */
  readonly readsZero: boolean;
  /** Whether writes would bypass the page cache. */
  readonly direct: boolean;
  /** What the target has after the disk. */
  readonly bytesAfter: number;
  /** Whether that would be zeroed. */
  readonly zeroTail: boolean;
}

/**
 * Does what `writeDisk` does before the first write: opens the image, finds the disk and its size, and runs the guards of the target. Rejects
 * as `writeDisk` would up to there. The rest of the image is not read.
 */
export async function dryRunWrite(given: DiskInput, target: TargetInput, options: WriteOptions = {}): Promise<WriteDryRun> {
  const input = inputOf('dryRunWrite', given);
  checkPlace('dryRunWrite', 'the target', target);
  checkOptions('dryRunWrite', options);
  const { zero, zeroTail = false, verify, force } = options;
  const opener = openerFor(target, verify);
  async function use(chosen: ChosenDisk, sources: readonly Source[], job: Job): Promise<WriteDryRun> {
    const kind = await kindOf(opener);
    const opened = await openFor(opener, chosen, sources, { verify, force, purpose: 'dry-run' }, job);
    // Not `close`: an opener that ignores the purpose may have created a file.
    await opened.abandon();
    return {
      ...factsOf(opened, kind, chosen.virtualSize),
      zeroTail,
      ...diskDryRun(chosen, { zero, readsZero: opened.readsZero, warnings: job.warnings }),
    };
  }
  return withDisk(input, options, { use });
}

interface EmptyRegions {
  readonly zero: ZeroPolicy | undefined;
  readonly readsZero: boolean;
  readonly warnings: readonly Warning[];
}

/** The part that a write and an import share. */
export function diskDryRun(
  { member, type, layers, virtualSize, allocatedBytes }: ChosenDisk,
  { zero = 'auto', readsZero, warnings }: EmptyRegions,
): DiskDryRun {
  return { member, type, layers, virtualSize, allocatedBytes, zero, emptyRegions: plan('hole', zero, readsZero), warnings };
}

function factsOf({ name, size: opened, align, readsZero, direct }: Target, kind: WriteDryRun['kind'], virtualSize: number) {
  // A file ends where the disk ends, although whole sectors are written.
  const size = kind === 'file' || kind === 'new-file' ? virtualSize : opened;
  const hasEnd = Number.isFinite(size);
  return {
    target: name,
    kind,
    targetSize: hasEnd ? size : undefined,
    align,
    readsZero,
    direct,
    bytesAfter: hasEnd ? Math.max(0, size - virtualSize) : 0,
  };
}
