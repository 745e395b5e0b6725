/** Job: what writing and verifying share, from the options of a call to the opened disk. */

import { type Guard, VdiStreamError } from '../errors.ts';
import { createPool, type Pool } from '../host/pool.ts';
import { type ChosenDisk, onlyDisk } from '../image/chain.ts';
import type { Source } from '../source/source.ts';
import { type OnWarning, type Warning, warner } from '../warnings.ts';
import { info } from './info.ts';
import { opensAgain, withSources } from './open.ts';
import type { DiskInput, ReadOptions } from './options.ts';
import { reading } from './progress.ts';

export interface CommonOptions extends ReadOptions {
  /** Bytes. Needed only for a stream that brings parents before their leaf, or a raw disk. */
  readonly virtualSize?: number | undefined;
  /** A folder to keep layers in that a stream brings before their leaf; nothing is left in it. */
  readonly staging?: string | undefined;
  /** What is odd about the image is an error, STRICT, instead of a warning. */
  readonly strict?: boolean | undefined;
  /** Guards to lift, by name. */
  readonly force?: readonly Guard[] | undefined;
  /** Share one to bound the memory of several calls at once; each has its own otherwise. */
  readonly pool?: Pool | undefined;
  /** Called for what is odd but not wrong, as it is found; the result lists it too. */
  readonly onWarning?: OnWarning | undefined;
}

/** What the calls of one import share. */
export interface Job {
  readonly pool: Pool;
  readonly warn: OnWarning;
  readonly warnings: readonly Warning[];
  seconds(): number;
}

/**
 * Opens the sources and their disk, and closes the sources whatever happens. What comes over the network in an order that does not tell
 * the size in time is looked at twice.
 */
export async function withDisk<T>(
  input: DiskInput,
  options: CommonOptions,
  use: (chosen: ChosenDisk, sources: readonly Source[], job: Job) => Promise<T>,
): Promise<T> {
  const started = process.hrtime.bigint();
  const warnings: Warning[] = [];
  const job: Job = {
    pool: options.pool ?? createPool(),
    warnings,
    warn: warner(warnings, options),
    seconds: () => Number(process.hrtime.bigint() - started) / 1e9,
  };

  function open(virtualSize: number | undefined): Promise<T> {
    // Looking through a source for its leaf may take a while; once the target is open, that is what counts.
    let onRead = reading(options.onProgress);
    return withSources(
      input,
      { ...options, onWarning: job.warn, onRead: (position, length) => onRead?.(position, length) },
      async (sources) => {
        const anyParent = options.force?.includes('parent') === true;
        const chosen = await onlyDisk(sources, { ...options, virtualSize, anyParent, warn: job.warn });
        onRead = undefined;
        return use(chosen, sources, job);
      },
    );
  }

  try {
    return await open(options.virtualSize);
  } catch (error) {
    // Thrown before anything is written.
    if (!(error instanceof VdiStreamError && error.code === 'CHAIN_ORDER' && opensAgain(input))) throw error;
    job.warn({ code: 'FETCHED_TWICE', message: 'the leaf does not come first, so the image is fetched as far as that, then once more' });
    const { virtualSize } = await info(input, { ...options, quick: true, sha256: undefined, onWarning: undefined, strict: false });
    if (virtualSize === undefined) throw error;
    return open(virtualSize);
  }
}

export const bytesRead = (sources: readonly Source[]): number => sources.reduce((sum, source) => sum + source.bytesRead(), 0);
