/** The whole way: from a source to a target, and back to compare. What the library exports and the command line calls. */

import { MiB } from '../bytes.ts';
import { type Guard, VdiStreamError, type Warn, type Warning } from '../errors.ts';
import type { DiskFacts } from '../extent.ts';
import { createPool, type Pool } from '../io/pool.ts';
import { openSource, type Source, type SourceInput } from '../io/source.ts';
import { NULL_TARGET, openTarget, type Target } from '../io/target.ts';
import { type ImageDisk, onlyDisk } from './image.ts';
import type { ZeroPolicy } from './plan.ts';
import type { OnProgress } from './progress.ts';
import { type Counts, pump } from './pump.ts';
import { comparing, emptySums, verifySums } from './verify.ts';

interface CommonOptions {
  /** Which member of an archive; its name, or the last part of it. */
  readonly disk?: string | undefined;
  /** Hexadecimal SHA-256 of the source's bytes as they are stored. */
  readonly sha256?: string | undefined;
  /** Guards to lift, by name. */
  readonly force?: readonly Guard[] | undefined;
  /** Share one to bound the memory of several calls at once; each has its own otherwise. */
  readonly pool?: Pool | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Called for what is odd but not wrong, as it is found; the result lists it too. */
  readonly onWarning?: Warn | undefined;
}

export interface WriteOptions extends CommonOptions {
  readonly zero?: ZeroPolicy | undefined;
  /** Also make the rest of a target zero that is larger than the disk. */
  readonly zeroTail?: boolean | undefined;
  /** Read everything back afterwards and compare checksums. */
  readonly verify?: boolean | undefined;
}

/** Sizes in bytes. bytesWritten + bytesZeroed + bytesSkipped = virtualSize, plus the tail where it was zeroed. */
export interface WriteResult extends Counts {
  readonly target: string;
  readonly member: string | undefined;
  readonly type: DiskFacts['type'];
  readonly virtualSize: number;
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
export function writeDisk(input: SourceInput, target: string, options: WriteOptions = {}): Promise<WriteResult> {
  if (options.verify && target === NULL_TARGET) {
    return Promise.reject(new VdiStreamError('USAGE', `${NULL_TARGET} keeps nothing that could be verified`));
  }
  return withDisk(input, options, async (chosen, source, job) => {
    const { disk, member } = chosen;
    if (await source.isFile(target)) throw new VdiStreamError('USAGE', `${target} is the source itself`);
    const opened = await openTarget(target, { size: disk.virtualSize, force: options.force, warn: job.warn });
    try {
      const counts = await writeAndSync(chosen, opened, options, job);
      await opened.close();
      const { type, virtualSize } = disk;
      return {
        target,
        member,
        type,
        virtualSize,
        bytesRead: source.bytesRead(),
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
  });
}

async function writeAndSync({ disk }: ImageDisk, target: Target, options: WriteOptions, job: Job): Promise<Counts> {
  const { virtualSize: total, allocatedBytes: toMove } = disk;
  const end = options.zeroTail && Number.isFinite(target.size) ? Math.max(target.size, total) : total;
  const sums = options.verify ? emptySums(end) : undefined;
  const { signal, onProgress } = options;
  const counts = await pump(disk, target, {
    pool: job.pool,
    zero: options.zero,
    sums,
    signal,
    onProgress: ({ bytesWritten, bytesZeroed, bytesSkipped }) =>
      onProgress?.({ phase: 'write', done: bytesWritten + bytesZeroed + bytesSkipped, total, moved: bytesWritten, toMove }),
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
  readonly virtualSize: number;
  readonly bytesRead: number;
  readonly bytesCompared: number;
  readonly seconds: number;
  readonly verified: true;
  readonly warnings: readonly Warning[];
}

/** Compares a target with an image, empty regions included. Throws VERIFY_MISMATCH, which names the first byte found wrong. */
export function verifyDisk(input: SourceInput, target: string, options: VerifyDiskOptions = {}): Promise<VerifyResult> {
  return withDisk(input, options, async ({ disk, member }, source, job) => {
    const { virtualSize: total } = disk;
    const opened = await openTarget(target, { size: total, force: options.force, warn: job.warn, readOnly: true });
    try {
      // What is read back has buffers of its own: waiting for the image's would wait for ourselves.
      await pump(disk, comparing(opened, createPool({ count: 4, size: 4 * MiB })), {
        pool: job.pool,
        zero: 'write',
        signal: options.signal,
        onProgress: ({ bytesWritten, bytesZeroed }) => {
          const done = bytesWritten + bytesZeroed;
          options.onProgress?.({ phase: 'verify', done, total, moved: done, toMove: total });
        },
      });
    } finally {
      await opened.close();
    }
    return {
      target,
      member,
      virtualSize: total,
      bytesRead: source.bytesRead(),
      bytesCompared: total,
      seconds: job.seconds(),
      verified: true,
      warnings: job.warnings,
    };
  });
}

/** What the calls of one import share. */
interface Job {
  readonly pool: Pool;
  readonly warn: Warn;
  readonly warnings: readonly Warning[];
  seconds(): number;
}

/** Opens the source and its disk, and closes the source whatever happens. */
async function withDisk<T>(
  input: SourceInput,
  options: CommonOptions,
  use: (chosen: ImageDisk, source: Source, job: Job) => Promise<T>,
): Promise<T> {
  const started = process.hrtime.bigint();
  const warnings: Warning[] = [];
  const job: Job = {
    pool: options.pool ?? createPool(),
    warnings,
    warn(warning) {
      warnings.push(warning);
      options.onWarning?.(warning);
    },
    seconds: () => Number(process.hrtime.bigint() - started) / 1e9,
  };
  const source = await openSource(input, options);
  try {
    const { chosen } = await onlyDisk(source, { disk: options.disk, warn: job.warn });
    return await use(chosen, source, job);
  } finally {
    await source.close();
  }
}

/** The part of a target behind the disk, as extents: one that is to be zero. */
function emptyDisk(from: number, to: number): Parameters<typeof pump>[0] {
  return {
    type: 'fixed',
    virtualSize: to - from,
    blockSize: undefined,
    creator: undefined,
    allocatedBytes: 0,
    allocated: () => [],
    skip: async () => {},
    async *extents() {
      yield { kind: 'zero', offset: from, length: to - from };
    },
  };
}
