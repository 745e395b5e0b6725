/** The whole way: from a source to a target, and back to compare. What the library exports and the command line calls. */

import { MiB, TiB } from '../bytes.ts';
import type { DiskFacts } from '../disk/extent.ts';
import { VdiStreamError } from '../errors.ts';
import { createPool } from '../host/pool.ts';
import type { ChosenDisk } from '../image/chain.ts';
import type { Source } from '../source/source.ts';
import { NULL_TARGET, openTarget, type Target } from '../target/target.ts';
import type { Warning } from '../warnings.ts';
import { bytesRead, type CommonOptions, type Job, withDisk } from './job.ts';
import type { DiskInput } from './options.ts';
import type { ZeroPolicy } from './plan.ts';
import { type Counts, pump } from './pump.ts';
import { comparing, emptySums, verifySums } from './verify.ts';

export interface WriteOptions extends CommonOptions {
  readonly zero?: ZeroPolicy | undefined;
  /** Also make the rest of a target zero that is larger than the disk. */
  readonly zeroTail?: boolean | undefined;
  /** Read everything back afterwards and compare checksums. */
  readonly verify?: boolean | undefined;
  /** The caller has had the target attached for this, so that a tapdisk which has it open serves nobody else. */
  readonly attached?: boolean | undefined;
}

/**
 * Sizes in bytes. bytesWritten + bytesZeroed + bytesSkipped = virtualSize, plus the tail where it was zeroed. bytesRewritten come on
 * top, where a parent was written before its child.
 */
export interface WriteResult extends Counts {
  readonly target: string;
  /** The leaf, of a chain. */
  readonly member: string | undefined;
  readonly type: DiskFacts['type'];
  /** 1, or as many as the chain has. */
  readonly layers: number;
  readonly virtualSize: number;
  /** Files of the archive that are no part of the disk. */
  readonly ignored: readonly string[];
  /** Bytes read from the source. */
  readonly bytesRead: number;
  readonly seconds: number;
  /** Whether the target was read back and found right. */
  readonly verified: boolean;
  /** Whether writes went past the page cache. */
  readonly direct: boolean;
  readonly warnings: readonly Warning[];
}

/**
 * Writes the disk of an image to a block device, a logical volume, a file, or `null:`.
 *
 * Resolves only when every byte is on the medium, the source was read to its end and found whole, and the target was
 * synced and closed. Rejects with a VdiStreamError otherwise; a file that this call made is then removed.
 */
export function writeDisk(input: DiskInput, target: string, options: WriteOptions = {}): Promise<WriteResult> {
  if (options.verify && target === NULL_TARGET) {
    return Promise.reject(new VdiStreamError('USAGE', `${NULL_TARGET} keeps nothing that could be verified`));
  }
  return withDisk(input, options, (chosen, sources, job) => writeTo(target, chosen, sources, options, job));
}

/** Writes the opened disk of opened sources; the target is closed when this settles, the sources are not. */
export async function writeTo(
  target: string,
  chosen: ChosenDisk,
  sources: readonly Source[],
  options: WriteOptions,
  job: Job,
): Promise<WriteResult> {
  const { virtualSize } = chosen.disk;
  const { force, attached } = options;
  for (const source of sources) {
    if (await source.isFile(target)) throw new VdiStreamError('USAGE', `${target} is the source itself`);
  }
  if (options.verify) refuseToSum(virtualSize);
  const opened = await openTarget(target, { size: virtualSize, force, attached, onWarning: job.warn });
  try {
    const counts = await writeAndSync(chosen, opened, options, job);
    await opened.close();
    return {
      target,
      ...chosen.leaf(),
      layers: chosen.layers(),
      virtualSize,
      ignored: chosen.ignored(),
      bytesRead: bytesRead(sources),
      ...counts,
      seconds: job.seconds(),
      verified: options.verify === true,
      direct: opened.direct,
      warnings: job.warnings,
    };
  } catch (error) {
    await opened.abandon();
    throw error;
  }
}

/** The checksums take 8 bytes for each 2 MiB, and a hostile disk of 1 PiB is easily made. */
function refuseToSum(size: number): void {
  if (size <= MAX_SUMMED) return;
  throw new VdiStreamError('USAGE', `a disk of ${size} bytes is too large to verify while writing; use \`vdistream verify\` afterwards`);
}

const MAX_SUMMED = 16 * TiB;

async function writeAndSync({ disk }: ChosenDisk, target: Target, options: WriteOptions, job: Job): Promise<Counts> {
  const { virtualSize: total } = disk;
  const end = options.zeroTail && Number.isFinite(target.size) ? Math.max(target.size, total) : total;
  const sums = options.verify ? emptySums(end) : undefined;
  const { signal, onProgress } = options;
  const counts = await pump(disk, target, {
    pool: job.pool,
    zero: options.zero,
    sums,
    signal,
    onProgress: ({ bytesWritten, bytesZeroed, bytesSkipped, bytesRewritten }) => {
      const moved = bytesWritten + bytesRewritten;
      const done = bytesWritten + bytesZeroed + bytesSkipped;
      onProgress?.({ phase: 'write', done, total, moved, toMove: disk.allocatedBytes });
    },
  });
  if (end > total) {
    const tail = await pump(emptyDisk(total, end), target, { pool: job.pool, zero: options.zero, signal });
    counts.bytesZeroed += tail.bytesZeroed;
    counts.bytesSkipped += tail.bytesSkipped;
  }
  await target.sync();
  if (sums) {
    const size = Math.min(end, target.size);
    await verifySums(target, size, sums, {
      pool: job.pool,
      signal,
      onProgress: (done) => onProgress?.({ phase: 'verify', done, total: size, moved: done, toMove: size }),
    });
  }
  return counts;
}

export interface VerifyDiskOptions extends CommonOptions {}

export interface VerifyResult {
  readonly target: string;
  readonly member: string | undefined;
  readonly layers: number;
  readonly virtualSize: number;
  readonly ignored: readonly string[];
  readonly bytesRead: number;
  readonly bytesCompared: number;
  readonly seconds: number;
  readonly verified: true;
  readonly warnings: readonly Warning[];
}

/** Compares a target with an image, empty regions included. Throws VERIFY_MISMATCH, which names the first byte found wrong. */
export function verifyDisk(input: DiskInput, target: string, options: VerifyDiskOptions = {}): Promise<VerifyResult> {
  return withDisk(input, options, async (chosen, sources, job) => {
    const { disk } = chosen;
    const { virtualSize: total } = disk;
    const opened = await openTarget(target, { size: total, force: options.force, onWarning: job.warn, readOnly: true });
    try {
      // What is read back has buffers of its own: waiting for the image's would wait for ourselves.
      const compared = comparing(opened, createPool({ count: 4, size: 4 * MiB }), { size: total, rewrites: chosen.rewrites });
      await pump(disk, compared.target, {
        pool: job.pool,
        zero: 'write',
        signal: options.signal,
        onProgress: ({ bytesWritten, bytesZeroed }) => {
          const done = bytesWritten + bytesZeroed;
          options.onProgress?.({ phase: 'verify', done, total, moved: done, toMove: total });
        },
      });
      compared.finish();
    } finally {
      await opened.close();
    }
    return {
      target,
      member: chosen.leaf().member,
      layers: chosen.layers(),
      virtualSize: total,
      ignored: chosen.ignored(),
      bytesRead: bytesRead(sources),
      bytesCompared: total,
      seconds: job.seconds(),
      verified: true,
      warnings: job.warnings,
    };
  });
}

/** The part of a target behind the disk, as extents: one that is to be zero. */
function emptyDisk(from: number, to: number): Parameters<typeof pump>[0] {
  return {
    type: 'fixed',
    virtualSize: to - from,
    blockSize: undefined,
    identity: {},
    parent: undefined,
    allocatedBytes: 0,
    allocated: () => [],
    skip: async () => {},
    async *extents() {
      yield { kind: 'zero', offset: from, length: to - from };
    },
  };
}
