/** Preparing an import: everything before the first change to a storage repository, which is all that a dry run does. */

import { basename } from 'node:path';
import type { SourceInput } from '../engine/input.ts';
import { type Job, withDisk } from '../engine/job.ts';
import { targetOpener } from '../engine/open.ts';
import type { DiskInput } from '../engine/options.ts';
import { type OpenedSeries, withSeries } from '../engine/series.ts';
import { refuseToSum, type WriteOptions } from '../engine/write.ts';
import { messageOf, rejection, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { createPool, type Pool } from '../host/pool.ts';
import { isUrl, redactUrl } from '../http/url.ts';
import type { ChosenDisk } from '../image/chain.ts';
import type { Source } from '../source/source.ts';
import type { OnWarning, Warning } from '../warnings.ts';
import { settleUdev } from './device.ts';
import type { ImportDeviceOptions, ImportDisksOptions, ImportOptions } from './options.ts';
import { type OwnDevice, ownDevice } from './own-device.ts';
import type { LeftOver, Reaper } from './reap.ts';
import type { ImportToolstack, NewVdi, Toolstack } from './toolstack.ts';
import { parseSrUuid } from './uuid.ts';
import { newDisksReadZero } from './zero-rule.ts';

let processPool: Pool | undefined;

/** Shared by all imports of the process, so that memory does not grow with their number. */
const sharedPool = (): Pool => {
  processPool ??= createPool();
  return processPool;
};

interface Answers {
  /** Whether a new VDI reads as zero. */
  readonly readsZero: boolean;
  /** The unfinished VDIs of earlier imports to this SR. */
  readonly leftOvers: readonly LeftOver[];
}

interface Prepared extends Answers {
  readonly wanted: NewVdi;
  readonly chosen: ChosenDisk;
  readonly sources: readonly Source[];
  readonly job: Job;
  readonly signal: AbortSignal;
}

/** `dryRun`: left-over VDIs are listed, and not removed. */
type PrepareOptions = Omit<ImportOptions, 'xe' | 'xapi'> & { readonly dryRun: boolean };

/** Opens the disk while it asks the toolstack, and closes the sources after `use`. Without a reaper, left-over VDIs stay. */
export async function withPrepared<T>(
  toolstack: ImportToolstack,
  reaper: Reaper | undefined,
  input: DiskInput,
  { sr: given, name = defaultName(input), rawVdi: raw = false, verify, dryRun, ...disk }: PrepareOptions,
  use: (prepared: Prepared) => Promise<T>,
): Promise<T> {
  const { signal: cancel, pool = sharedPool() } = disk;
  const sr = parseSrUuid(given);
  return whileAsking(toolstack, reaper, { sr, raw, dryRun, cancel }, (signal, answered) =>
    withDisk(
      input,
      { ...disk, signal, pool },
      {
        // What it has created is removed.
        leavesNothing: !dryRun,
        async use(chosen, sources, job) {
          if (verify) refuseToSum(chosen.virtualSize);
          const answers = await answered(job);
          return use({ ...answers, wanted: { sr, name, size: chosen.virtualSize, raw }, chosen, sources, job, signal });
        },
      },
    ),
  );
}

interface PreparedSeries extends Answers {
  /** uuid of the SR. */
  readonly sr: string;
  /** Of the VDIs: their common name, or that of the source. */
  readonly name: string | undefined;
  readonly source: string;
  readonly raw: boolean;
  readonly opened: OpenedSeries;
  readonly signal: AbortSignal;
}

/** The same for all disks of an archive. */
export async function withPreparedSeries<T>(
  toolstack: Toolstack,
  reaper: Reaper,
  input: DiskInput,
  { sr: given, name, rawVdi: raw = false, dryRun, ...disks }: Omit<ImportDisksOptions, 'xe'> & { readonly dryRun: boolean },
  use: (prepared: PreparedSeries) => Promise<T>,
): Promise<T> {
  const { signal: cancel, pool = sharedPool() } = disks;
  const sr = parseSrUuid(given);
  return whileAsking(toolstack, reaper, { sr, raw, dryRun, cancel }, (signal, answered) =>
    withSeries(input, { ...disks, signal, pool }, async (opened) => {
      const answers = await answered(opened.job);
      return use({ ...answers, sr, name, source: defaultName(input), raw, opened, signal });
    }),
  );
}

type AskOptions = Pick<QueryOptions, 'sr' | 'raw' | 'dryRun'> & { readonly cancel: AbortSignal | undefined };

/** Asks the toolstack while `work` opens the image; `answered` resolves with the answers, and reports its warnings to the job. */
async function whileAsking<T>(
  toolstack: ImportToolstack,
  reaper: Reaper | undefined,
  { sr, raw, dryRun, cancel }: AskOptions,
  work: (signal: AbortSignal, answered: (job: Job) => Promise<Answers>) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const signal = cancel === undefined ? stop.signal : AbortSignal.any([cancel, stop.signal]);
  // This does not need the image, whose first bytes may take a while. If either fails, it stops the other.
  const early = earlyWarnings();
  const asking = orCancellation(ask(toolstack, reaper, { sr, raw, dryRun, signal, onWarning: early.warn }), cancel);
  asking.catch(() => stop.abort()); // the error is thrown where it is awaited
  try {
    return await work(signal, async (job) => {
      early.passTo(job.warn);
      const { left, ...answers } = await asking;
      for (const message of left) job.warn({ code: 'REAP_LEFT', message });
      return answers;
    });
  } catch (error) {
    // If asking stopped the rest, throw its error.
    if (stop.signal.aborted && !cancel?.aborted) await asking;
    stop.abort();
    await asking.catch(() => {});
    throw error;
  }
}

/**
 * Finds out what the device is, and lets `use` open it, with the options of a write that fills it to its end. Settles only after udev has
 * closed it.
 */
export async function withOwnDevice<T>(
  toolstack: Toolstack,
  device: string,
  { sr: given, rawVdi = false, pool = sharedPool(), ...write }: Omit<ImportDeviceOptions, 'xe'>,
  use: (own: OwnDevice, write: WriteOptions) => Promise<T>,
): Promise<T> {
  // The same mistakes as with any target; and an import that discards everything would succeed.
  if (targetOpener(device).keepsNothing === true) {
    throw new VdiStreamError(
      'USAGE',
      `${device} discards everything, so it is no device for an import; for a file of that name, use ./${device}`,
    );
  }
  const { zero, signal } = write;
  const sr = given === undefined ? undefined : parseSrUuid(given);
  const asks = sr !== undefined && zero === undefined;
  const readsZero = asks && (await orCancellation(newDisksReadZero(toolstack, sr, rawVdi, signal), signal));
  const own = await ownDevice(toolstack, device, { readsZero, signal });
  try {
    return await use(own, { ...write, zeroTail: true, pool });
  } finally {
    await settleUdev();
  }
}

/** Rejects with CANCELLED once the signal has fired, whatever error the interrupted command reports. */
export const orCancellation = <T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> =>
  work.catch((error: unknown) => {
    throw rejection(error, signal);
  });

interface QueryOptions {
  readonly sr: string;
  readonly raw: boolean;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  readonly onWarning: OnWarning;
}

/** `left`: what could not be removed of the left-over VDIs, or why there is no list of them. */
async function ask(
  toolstack: ImportToolstack,
  reaper: Reaper | undefined,
  { sr, raw, dryRun, signal, onWarning }: QueryOptions,
): Promise<Answers & { readonly left: readonly string[] }> {
  const queries = [toolstack.checkHost(sr, signal), newDisksReadZero(toolstack, sr, raw, signal)] as const;
  const answers = Promise.all(queries);
  // If one command fails, the other must not outlive the import.
  await Promise.allSettled([answers, ...queries]);
  const [, readsZero] = await answers;
  if (reaper === undefined) return { readsZero, leftOvers: [], left: [] };
  const reaped = await reaper({ sr, dryRun, signal, onWarning }).then(
    ({ leftOvers, leftOverVbds }) => ({ leftOvers, left: [...leftOvers, ...leftOverVbds].flatMap((leftOver) => leftOver.left) }),
    (error: unknown) => ({ leftOvers: [], left: [messageOf(error)] }),
  );
  throwIfCancelled(signal);
  return { readsZero, ...reaped };
}

interface EarlyWarnings {
  readonly warn: OnWarning;
  passTo(onWarning: OnWarning): void;
}

/** Keeps warnings until there is somebody to pass them to. */
function earlyWarnings(): EarlyWarnings {
  const kept: Warning[] = [];
  let pass: OnWarning = (warning) => void kept.push(warning);
  return {
    warn: (warning) => pass(warning),
    passTo(onWarning) {
      pass = onWarning;
      for (const warning of kept.splice(0)) onWarning(warning);
    },
  };
}

/** The name of the source, if it has a printable one. */
function defaultName(input: DiskInput): string {
  const [first = input] = Array.isArray(input) ? input : [];
  const printable = sourceName(first)
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim();
  return first === '-' || printable === '' ? 'vdistream' : printable;
}

/** The last part of a path, or of a URL's path: everybody can read the VDI's name, and the rest of a URL may be secret. */
function sourceName(input: SourceInput): string {
  const name = typeof input === 'string' ? input : 'name' in input ? String(input.name) : 'stream';
  return basename(isUrl(name) ? redactUrl(name) : name);
}
