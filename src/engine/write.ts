/** Writing: from a source to a target, with verification if requested. */

import { stat } from 'node:fs/promises';
import { checkOpenedTarget, checkOptions, checkPlace } from '../arguments.ts';
import { TiB } from '../bytes.ts';
import type { InflateName } from '../codec/inflate.ts';
import type { DiskType } from '../disk/disk.ts';
import type { Extent } from '../disk/extent.ts';
import type { Tap } from '../disk/tap.ts';
import { rejection, VdiStreamError } from '../errors.ts';
import { isErrno } from '../host/errno.ts';
import { timedBuffers } from '../host/pool.ts';
import type { StageTimes } from '../host/stages.ts';
import type { ChosenDisk, DiskSummary } from '../image/chain.ts';
import type { Source } from '../source/source.ts';
import type { Target, TargetOpener, TargetOptions } from '../target/target.ts';
import type { Warning } from '../warnings.ts';
import { readsMedium } from './compare.ts';
import { inputOf } from './input.ts';
import { bytesRead, type DiskOptions, type Job, withDisk } from './job.ts';
import { type TargetInput, targetOpener } from './open.ts';
import type { DiskInput } from './options.ts';
import type { ZeroPolicy } from './plan.ts';
import { type Pumped, pump } from './pump.ts';
import { readingBack } from './read-back.ts';
import { emptySums, verifyRest } from './sums.ts';
import type { Counts } from './writer.ts';

/** How to write a target. */
interface WriteChoice {
  readonly zero?: ZeroPolicy | undefined;
  /** If the target is larger than the disk, zero the rest of it. */
  readonly zeroTail?: boolean | undefined;
  /** Afterwards read everything back and compare checksums. */
  readonly verify?: boolean | undefined;
}

export interface WriteOptions extends DiskOptions, WriteChoice {}

/**
 * Sizes in bytes. bytesWritten + bytesZeroed + bytesSkipped = virtualSize, plus the rest of the target if that was zeroed, and the zeros
 * that a stream has between a fixed disk and its footer. bytesRewritten are in addition to that, if a parent was written before its child.
 */
export interface WriteResult extends Counts {
  readonly target: string;
  /** The member, or the leaf of a chain. */
  readonly member: string | undefined;
  readonly type: DiskType;
  /** What inflated the image, if it is gzipped. */
  readonly inflate: InflateName | undefined;
  /** Number of layers; 1 without a chain. */
  readonly layers: number;
  readonly virtualSize: number;
  /** Files of the archive that do not belong to the disk. */
  readonly ignored: readonly string[];
  /** Bytes read from the source. */
  readonly bytesRead: number;
  readonly seconds: number;
  /** Where they went. */
  readonly stages: StageTimes;
  /** Whether the target was read back from the medium and compared. */
  readonly verified: boolean;
  /** Whether writes bypassed the page cache. */
  readonly direct: boolean;
  readonly warnings: readonly Warning[];
}

/**
 * Writes the disk of an image to a block device, a logical volume, a file, `null:`, or the target of an opener.
 *
 * Resolves only when every byte is on the medium, the source was read to its end and is complete, and the target was synced and closed.
 * Otherwise rejects with a VdiStreamError, and removes the target if it is a file that this call created.
 */
export async function writeDisk(given: DiskInput, target: TargetInput, options: WriteOptions = {}): Promise<WriteResult> {
  const input = inputOf('writeDisk', given);
  checkPlace('writeDisk', 'the target', target);
  checkOptions('writeDisk', options);
  const { zero, zeroTail, verify, force, signal, onProgress } = options;
  const opener = openerFor(target, verify);
  const leavesNothing = opener.keepsNothing === true || (await kindOf(opener)) === 'new-file';
  return withDisk(input, options, {
    leavesNothing,
    async use(chosen, sources, job) {
      try {
        return await writeTo(opener, chosen, sources, { zero, zeroTail, verify, force, signal, onProgress }, job);
      } catch (error) {
        throw whileWriting(error, signal);
      }
    },
  });
}

/** `new-file`: it does not exist yet. Undefined for a target without a path. */
export type TargetKind = 'device' | 'file' | 'new-file' | 'other' | undefined;

export async function kindOf({ path }: TargetOpener): Promise<TargetKind> {
  if (path === undefined) return undefined;
  try {
    const found = await stat(path);
    return found.isBlockDevice() ? 'device' : found.isFile() ? 'file' : 'other';
  } catch (error) {
    return isErrno(error, 'ENOENT') ? 'new-file' : 'other';
  }
}

/** What a call rejects with that has written to a target which it does not remove. */
function whileWriting(error: unknown, signal: AbortSignal | undefined): unknown {
  const rejected = rejection(error, signal);
  if (rejected instanceof VdiStreamError && rejected.code === 'CANCELLED') {
    rejected.advice = 'If the target existed before, it may hold only part of the disk: write it again before you use it.';
  }
  return rejected;
}

/** Throws USAGE if there is nothing to verify. */
export function openerFor(target: TargetInput, verify: boolean | undefined): TargetOpener {
  const opener = targetOpener(target);
  if (verify && opener.keepsNothing) throw new VdiStreamError('USAGE', `${opener.name} discards all data, so it cannot be verified`);
  return opener;
}

/** The last step before the first write: checks the sources and the disk against the target, whose guards run, and opens it. */
export async function openFor(
  opener: TargetOpener,
  { virtualSize }: ChosenDisk,
  sources: readonly Source[],
  { verify, force, purpose }: Pick<WriteToOptions, 'verify' | 'force'> & Pick<TargetOptions, 'purpose'>,
  { warn }: Job,
): Promise<Target> {
  for (const source of sources) {
    if (opener.path !== undefined && (await source.sharesBytesWith(opener.path))) {
      throw new VdiStreamError('USAGE', `${opener.name} is the source, or shares bytes with it: writing would destroy the image`);
    }
  }
  if (verify) refuseToSum(virtualSize);
  const target = await opener.open({ size: virtualSize, force, onWarning: warn, purpose });
  checkOpenedTarget(opener.name, target);
  return target;
}

type WriteToOptions = WriteChoice & Pick<DiskOptions, 'force' | 'signal' | 'onProgress'>;

/** Writes an opened disk. Closes the target, but not the sources. */
export async function writeTo(
  opener: TargetOpener,
  chosen: ChosenDisk,
  sources: readonly Source[],
  { force, ...how }: WriteToOptions,
  job: Job,
): Promise<WriteResult> {
  const target = await openFor(opener, chosen, sources, { verify: how.verify, force, purpose: 'write' }, job);
  try {
    const { end, ...counts } = await writeAndSync(chosen, target, how, job);
    const { member, type, layers, ignored, virtualSize } = end;
    const stages = job.stages.times();
    const surplus = chosen.virtualSize - virtualSize;
    await (surplus > 0 ? target.close(virtualSize) : target.close());
    return {
      target: target.name,
      member,
      type,
      inflate: job.inflate,
      layers,
      virtualSize,
      ignored,
      bytesRead: bytesRead(sources),
      ...counts,
      seconds: job.seconds(),
      stages,
      direct: target.direct,
      warnings: job.warnings,
    };
  } catch (error) {
    await target.abandon();
    throw error;
  }
}

/** Checksums take 8 bytes for each 2 MiB, too much memory for the huge disk that a hostile image can claim. */
export function refuseToSum(size: number): void {
  if (size <= MAX_SUMMED) return;
  throw new VdiStreamError('USAGE', `a disk of ${size} bytes is too large to verify while writing; use \`vdistream verify\` afterwards`);
}

const MAX_SUMMED = 16 * TiB;

interface Written extends Pumped<DiskSummary> {
  readonly verified: boolean;
}

async function writeAndSync(
  chosen: ChosenDisk,
  target: Target,
  { zero, zeroTail, verify, signal, onProgress }: Omit<WriteToOptions, 'force'>,
  { pool, warn, stages }: Job,
): Promise<Written> {
  const { virtualSize: total } = chosen;
  const end = zeroTail && Number.isFinite(target.size) ? Math.max(target.size, total) : total;
  const sums = verify ? emptySums(end) : undefined;
  let toMove = chosen.allocatedBytes;
  const onAllocated = (bytes: number): void => {
    toMove = bytes;
  };
  const onCounts = ({ bytesWritten, bytesZeroed, bytesSkipped, bytesRewritten }: Counts): void => {
    const moved = bytesWritten + bytesRewritten;
    const done = bytesWritten + bytesZeroed + bytesSkipped;
    onProgress?.({ phase: 'write', done, total, moved, toMove });
  };
  const extents = (tap: Tap | undefined) => chosen.extents(timedBuffers(pool, stages), { signal, tap, onAllocated });
  const early = sums && target.direct ? readingBack(target, end) : undefined;
  const written = early?.target ?? target;
  const pumped = await pump(extents, written, { size: total, zero, sums, pool, signal, onProgress: onCounts }, { stages });
  const tail = end > total ? await pump(emptyRange(total, end), target, { size: end - total, zero, signal }, { stages }) : undefined;
  await stages.during('sync', target.sync());
  let verified = false;
  if (sums) {
    const size = Math.min(end, target.size);
    verified = await readsMedium(target, size, warn);
    const onCompared = (done: number): void => onProgress?.({ phase: 'verify', done, total: size, moved: done, toMove: size });
    await verifyRest(target, size, sums, early, { pool, signal, onProgress: onCompared });
  }
  return {
    ...pumped,
    verified,
    bytesZeroed: pumped.bytesZeroed + (tail?.bytesZeroed ?? 0),
    bytesSkipped: pumped.bytesSkipped + (tail?.bytesSkipped ?? 0),
  };
}

/** The part of a target after the disk, to be zeroed. */
async function* emptyRange(from: number, to: number): AsyncGenerator<Extent, void, void> {
  yield { kind: 'zero', offset: from, length: to - from };
}
