/** Job: what writing and verifying have in common, from the options of a call to the opened disk. */

import { inflaterOf } from '../codec/compression.ts';
import type { InflateName } from '../codec/inflate.ts';
import { type Guard, VdiStreamError } from '../errors.ts';
import { createPool, type Pool } from '../host/pool.ts';
import { createStages, type StageClock } from '../host/stages.ts';
import { type ChosenDisk, isLate, leafIsLate, onlyDisk } from '../image/chain.ts';
import { outerCompression } from '../image/content.ts';
import { printable } from '../quote.ts';
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
   * VHD. With it, a compressed file is not searched for the leaf. Throws CHAIN_SIZE, VHD_SIZE or RAW_SIZE if it is wrong.
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

interface DiskUse<T> {
  readonly use: Use<T>;
  /** When `use` fails, nothing of it is left. So it can begin with a size that is only assumed, and start again with the right one. */
  readonly leavesNothing?: boolean | undefined;
}

/**
 * Opens the sources and their disk, and always closes the sources. If the size is not known in time, since the leaf comes late or the size is
 * at the end of the disk, a source that can be opened again is fetched twice; a pipe throws CHAIN_ORDER or DISK_SIZE_UNKNOWN. `use` is called
 * twice if it began with an assumed size, and that is wrong.
 */
export async function withDisk<T>(input: DiskInput, options: DiskOptions, { use, leavesNothing }: DiskUse<T>): Promise<T> {
  const { disk, raw, rawBase, manifest, inflate, signal, onProgress, pool, strict, onWarning, virtualSize } = options;
  const job = createJob({ pool, strict, onWarning });

  const first = await openDisk(input, options, virtualSize, job, { use, leavesNothing });
  if ('result' in first) return first.result;
  const { late, canGoBack, leafSize } = first;
  if (!canGoBack && !opensAgain(input)) throw late;
  if (!canGoBack)
    job.warn({ code: 'FETCHED_TWICE', message: `${whyLate(late)}, so the image is fetched up to there, then again from the start` });
  const size = leafSize ?? (await info(input, { disk, raw, rawBase, manifest, inflate, signal, onProgress, quick: true })).virtualSize;
  const second = size === undefined ? first : await openDisk(input, options, size, withoutRepeats(job), { use });
  if ('result' in second) return second.result;
  throw second.late;
}

/** The same job for starting again: warnings that it has reported are not reported again. */
function withoutRepeats(job: Job): Job {
  const { warn, warnings } = job;
  const reported = new Set(warnings.map(keyOf));
  return { ...job, warn: (warning) => (reported.has(keyOf(warning)) ? undefined : warn(warning)) };
}

const keyOf = ({ code, message, member, offset }: Warning): string => JSON.stringify([code, printable(message), member, offset]);

/** The size of the disk comes too late to write it: CHAIN_ORDER, DISK_SIZE_UNKNOWN, or CHAIN_SIZE if it was assumed wrongly. */
export interface Late {
  readonly late: VdiStreamError;
  /** All sources are files: a member of a compressed archive is a stream even there. */
  readonly canGoBack: boolean;
  /** Bytes, if the leaf has come by now. */
  readonly leafSize?: number | undefined;
}

export const whyLate = ({ code }: VdiStreamError): string =>
  code === 'DISK_SIZE_UNKNOWN' ? 'the size of the disk is at its end' : 'the leaf, which has the size of the disk, does not come first';

async function openDisk<T>(
  input: DiskInput,
  { disk, raw, rawBase, manifest, inflate, sha256, signal, onProgress, staging, force }: DiskOptions,
  virtualSize: number | undefined,
  job: Job,
  { use, leavesNothing }: DiskUse<T>,
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
    const canGoBack = sources.every(({ cursor }) => cursor.seekable);
    const leafOptions = {
      image: { choice: { disk, raw, rawBase, manifest, inflate }, virtualSize, single: true, warn, stages },
      staging,
      anyParent,
      assumeSize: leavesNothing && (canGoBack || opensAgain(input)),
    };
    const chosen = await onlyDisk(sources, leafOptions).catch(lateSize);
    if (chosen instanceof VdiStreamError) return { late: chosen, canGoBack };
    if (isLate(chosen)) return { late: leafIsLate(chosen), canGoBack };
    onRead = undefined;
    try {
      return { result: await use(chosen, sources, { ...job, inflate: inflater }) };
    } catch (error) {
      if (!chosen.isAssumed || !(error instanceof VdiStreamError) || error.left.length > 0) throw error;
      if (error.code === 'CHAIN_SIZE') return { late: error, canGoBack, leafSize: chosen.leafSize() };
      return { late: lateSize(error), canGoBack };
    }
  });
}

export function lateSize(error: unknown): VdiStreamError {
  if (error instanceof VdiStreamError && error.code === 'DISK_SIZE_UNKNOWN') return error;
  throw error;
}

export const bytesRead = (sources: readonly Source[]): number => sources.reduce((sum, source) => sum + source.bytesRead(), 0);
