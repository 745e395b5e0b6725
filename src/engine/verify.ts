/** Verifying: comparing a target with an image. */

import { checkOpenedTarget, checkOptions, checkPlace } from '../arguments.ts';
import { MiB } from '../bytes.ts';
import type { InflateName } from '../codec/inflate.ts';
import { createPool } from '../host/pool.ts';
import type { ChosenDisk } from '../image/chain.ts';
import type { Source } from '../source/source.ts';
import type { Warning } from '../warnings.ts';
import { comparing, readsMedium } from './compare.ts';
import { inputOf } from './input.ts';
import { bytesRead, type DiskOptions, type Job, withDisk } from './job.ts';
import { type TargetInput, targetOpener } from './open.ts';
import type { DiskInput } from './options.ts';
import { pump } from './pump.ts';
import type { Counts } from './writer.ts';

export interface VerifyResult {
  readonly target: string;
  /** The member, or the leaf of a chain. */
  readonly member: string | undefined;
  /** What inflated the image, if it is gzipped. */
  readonly inflate: InflateName | undefined;
  readonly layers: number;
  readonly virtualSize: number;
  readonly ignored: readonly string[];
  readonly bytesRead: number;
  readonly bytesCompared: number;
  readonly seconds: number;
  /** False if part of the target was compared in the page cache: VERIFY_CACHED. */
  readonly verified: boolean;
  readonly warnings: readonly Warning[];
}

/** Compares a target with an image, including empty regions. Throws VERIFY_MISMATCH with the offset of a byte that differs. */
export async function verifyDisk(given: DiskInput, target: TargetInput, options: DiskOptions = {}): Promise<VerifyResult> {
  const input = inputOf('verifyDisk', given);
  checkPlace('verifyDisk', 'the target', target);
  checkOptions('verifyDisk', options);
  const { force, signal, onProgress } = options;
  async function use(
    chosen: ChosenDisk,
    sources: readonly Source[],
    { pool, warn, warnings, inflate, seconds }: Job,
  ): Promise<VerifyResult> {
    const { virtualSize: total, rewrites } = chosen;
    const opened = await targetOpener(target).open({ size: total, force, onWarning: warn, signal, purpose: 'compare' });
    checkOpenedTarget(opened.name, opened);
    try {
      const verified = await readsMedium(opened, total, warn);
      // Reading back needs its own pool: waiting for a buffer of the image's pool would deadlock.
      const compared = comparing(opened, createPool({ count: 4, size: 4 * MiB }), { size: total, rewrites });
      const onCounts = ({ bytesWritten, bytesZeroed }: Counts): void => {
        const done = bytesWritten + bytesZeroed;
        onProgress?.({ phase: 'verify', done, total, moved: done, toMove: total });
      };
      const { end } = await pump(
        (tap) => chosen.extents(pool, { signal, tap }),
        compared.target,
        { size: total, zero: 'write', pool, signal, onProgress: onCounts },
        { useSpan: compared.compareSpan },
      );
      compared.finish();
      const { member, layers, ignored, virtualSize } = end;
      return {
        target: opened.name,
        member,
        inflate,
        layers,
        virtualSize,
        ignored,
        bytesRead: bytesRead(sources),
        bytesCompared: total,
        seconds: seconds(),
        verified,
        warnings,
      };
    } finally {
      await opened.close();
    }
  }
  return withDisk(input, options, { use });
}
