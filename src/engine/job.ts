/** Job: what writing and verifying have in common, from the options of a call to the opened disk. */

import { inflaterOf } from '../codec/compression.ts';
import type { InflateName } from '../codec/inflate.ts';
import { type Guard, VdiStreamError } from '../errors.ts';
import { createPool, type Pool } from '../host/pool.ts';
import { createStages, type StageClock } from '../host/stages.ts';
import { type ChosenDisk, isLate, leafIsLate, onlyDisk } from '../image/chain.ts';
import { outerCompression } from '../image/content.ts';
import type { Source } from '../source/source.ts';
import { timedSource } from '../source/timed.ts';
import { type OnWarning, type Warning, warner } from '../warnings.ts';
import { info } from './info.ts';
import { opensAgain, withSources } from './open.ts';
import type { DiskInput, ReadOptions } from './options.ts';
import { reading } from './progress.ts';

export interface DiskOptions extends ReadOptions {
  /**
   * Bytes of the disk. Needed only for a stream that does not give the size in time: a parent precedes its leaf, or the disk is raw or a fixed
   * VHD. Throws VHD_SIZE or RAW_SIZE if it is wrong.
   */
  readonly virtualSize?: number | undefined;
  /** A folder for layers that precede their leaf in a stream; nothing is left in it. */
  readonly staging?: string | undefined;
  /** Throw STRICT for a warning about the image. */
  readonly strict?: boolean | undefined;
  /** Guards to lift, by name. */
  readonly force?: readonly Guard[] | undefined;
  /** Share one to limit the memory of concurrent calls; by default each call creates its own. */
  readonly pool?: Pool | undefined;
  /** Called for each warning; the result lists them too. */
  readonly onWarning?: OnWarning | undefined;
}

/** State that the parts of one call share. */
export interface Job {
  readonly pool: Pool;
  readonly warn: OnWarning;
  readonly warnings: readonly Warning[];
  /** What inflates the first source, if it is gzipped. */
  readonly inflate?: InflateName | undefined;
  readonly stages: StageClock;
  seconds(): number;
}

/** Begins now. */
export function createJob({ pool, strict, onWarning }: Pick<DiskOptions, 'pool' | 'strict' | 'onWarning'>): Job {
  const warnings: Warning[] = [];
  return {
    pool: pool ?? createPool(),
    warnings,
    warn: warner(warnings, { strict, onWarning }),
    seconds: stopwatch(),
    stages: createStages(),
  };
}

/** The seconds since it was made. */
export function stopwatch(): () => number {
  const started = process.hrtime.bigint();
  return () => Number(process.hrtime.bigint() - started) / 1e9;
}

/** Uses the disk while its sources are open. */
type Use<T> = (chosen: ChosenDisk, sources: readonly Source[], job: Job) => Promise<T>;

/**
 * Opens the sources and their disk, and always closes the sources. If the size is not known in time, since the leaf comes late or the size is
 * at the end of the disk, a source that can be opened again is fetched twice; a pipe throws CHAIN_ORDER or DISK_SIZE_UNKNOWN.
 */
export async function withDisk<T>(input: DiskInput, options: DiskOptions, use: Use<T>): Promise<T> {
  const { disk, raw, rawBase, manifest, inflate, signal, onProgress, pool, strict, onWarning, virtualSize } = options;
  const job = createJob({ pool, strict, onWarning });

  const first = await openDisk(input, options, virtualSize, job, use);
  if ('result' in first) return first.result;
  if (!first.canGoBack && !opensAgain(input)) throw first.late;
  if (!first.canGoBack)
    job.warn({ code: 'FETCHED_TWICE', message: `${whyLate(first.late)}, so the image is fetched up to there, then again from the start` });
  const { virtualSize: found } = await info(input, { disk, raw, rawBase, manifest, inflate, signal, onProgress, quick: true });
  const second = found === undefined ? first : await openDisk(input, options, found, job, use);
  if ('result' in second) return second.result;
  throw second.late;
}

/** The size of the disk comes too late to write it: CHAIN_ORDER or DISK_SIZE_UNKNOWN. */
export interface Late {
  readonly late: VdiStreamError;
  /** All sources are files: a member of a compressed archive is a stream even there. */
  readonly canGoBack: boolean;
}

export const whyLate = ({ code }: VdiStreamError): string =>
  code === 'CHAIN_ORDER' ? 'the leaf, which has the size of the disk, does not come first' : 'the size of the disk is at its end';

async function openDisk<T>(
  input: DiskInput,
  { disk, raw, rawBase, manifest, inflate, sha256, signal, onProgress, staging, force }: DiskOptions,
  virtualSize: number | undefined,
  job: Job,
  use: Use<T>,
): Promise<{ readonly result: T } | Late> {
  const { warn, stages } = job;
  // Searching a source for its leaf may take a while, so that is reported. Later, progress counts bytes of the disk.
  let onRead = reading(onProgress);
  const watched = { sha256, signal, onWarning: warn, onRead: (position: number, length: number) => onRead?.(position, length) };
  return withSources(input, watched, async (opened) => {
    const sources = opened.map((each) => timedSource(each, stages));
    const [source] = sources;
    const inflater = source && inflaterOf(await outerCompression(source.cursor), inflate);
    const anyParent = force?.includes('parent') === true;
    const leafOptions = {
      image: { choice: { disk, raw, rawBase, manifest, inflate }, virtualSize, single: true, warn, stages },
      staging,
      anyParent,
    };
    const canGoBack = sources.every(({ cursor }) => cursor.seekable);
    const chosen = await onlyDisk(sources, leafOptions).catch(lateSize);
    if (chosen instanceof VdiStreamError) return { late: chosen, canGoBack };
    if (isLate(chosen)) return { late: leafIsLate(chosen), canGoBack };
    onRead = undefined;
    return { result: await use(chosen, sources, { ...job, inflate: inflater }) };
  });
}

export function lateSize(error: unknown): VdiStreamError {
  if (error instanceof VdiStreamError && error.code === 'DISK_SIZE_UNKNOWN') return error;
  throw error;
}

export const bytesRead = (sources: readonly Source[]): number => sources.reduce((sum, source) => sum + source.bytesRead(), 0);
