/** The disks of an archive one after another, from the options of a call to the opened series. */

import { inflaterOf } from '../codec/compression.ts';
import { VdiStreamError } from '../errors.ts';
import { leafIsLate } from '../image/chain.ts';
import { outerCompression } from '../image/content.ts';
import { openSeries, type Series, type SeriesOptions } from '../image/series.ts';
import { canPlan, planAhead, planSeries, type SeriesPlan } from '../image/series-plan.ts';
import type { Source } from '../source/source.ts';
import { createJob, type DiskOptions, type Job, type Late, lateSize, whyLate } from './job.ts';
import { opensAgain, withSources } from './open.ts';
import type { DiskInput } from './options.ts';
import { reading } from './progress.ts';

/** `disk` and `virtualSize` are about one disk. */
export type AllDisksOptions = Omit<DiskOptions, 'disk' | 'virtualSize'>;

/** An opened series. */
export interface OpenedSeries {
  readonly disks: Series['disks'];
  /** Set if the source can seek: then all disks are known before the first one is read. */
  readonly plan: SeriesPlan | undefined;
  readonly sources: readonly Source[];
  readonly job: Job;
}

/**
 * Opens the sources and the series of their disks, and always closes the sources. If the size of the first disk is not known in time, a source
 * that can be opened again is fetched twice.
 */
export async function withSeries<T>(input: DiskInput, options: AllDisksOptions, use: (opened: OpenedSeries) => Promise<T>): Promise<T> {
  const { raw, rawBase, manifest, inflate, staging, sha256, signal, onProgress, force, pool, strict, onWarning } = options;
  const job = createJob({ pool, strict, onWarning });
  const { warn } = job;
  const how: SeriesOptions = {
    choice: { raw, rawBase, manifest, inflate },
    staging,
    anyParent: force?.includes('parent') === true,
    warn,
  };

  const open = <R>(work: (sources: readonly Source[], onOpened: () => void) => Promise<R>): Promise<R> => {
    let onRead = reading(onProgress);
    const watched = { sha256, signal, onWarning: warn, onRead: (position: number, length: number) => onRead?.(position, length) };
    return withSources(input, watched, (sources) =>
      work(sources, () => {
        onRead = undefined;
      }),
    );
  };

  const attempt = (given?: SeriesPlan): Promise<{ readonly result: T } | Late> =>
    open(async (sources, onOpened) => {
      const [source] = sources;
      const inflater = source && inflaterOf(await outerCompression(source.cursor), inflate);
      const plan = given ?? ((await canPlan(sources)) ? await planAhead(sources, how) : undefined);
      const series = await openSeries(sources, how, plan?.disks).catch(lateSize);
      const canGoBack = sources.every(({ cursor }) => cursor.seekable);
      if (series instanceof VdiStreamError) return { late: series, canGoBack };
      if ('lateAfter' in series) return { late: leafIsLate(series), canGoBack };
      onOpened();
      return { result: await use({ disks: series.disks, plan, sources, job: { ...job, inflate: inflater } }) };
    });

  try {
    const first = await attempt();
    if ('result' in first) return first.result;
    if (!first.canGoBack && !opensAgain(input)) throw first.late;
    if (!first.canGoBack) warn({ code: 'FETCHED_TWICE', message: `${whyLate(first.late)}, so the image is fetched twice` });
    const second = await attempt(await open((sources) => planSeries(sources, how)));
    if ('result' in second) return second.result;
    throw second.late;
  } catch (error) {
    throw advised(error);
  }
}

const ADVICE = 'Pass the image as an uncompressed file, or import each disk on its own, by its name.';

/** Their usual advice is a size, which only a single disk can be read with. */
function advised(error: unknown): unknown {
  if (error instanceof VdiStreamError && (error.code === 'DISK_SIZE_UNKNOWN' || error.code === 'CHAIN_ORDER')) error.advice = ADVICE;
  return error;
}
