/** Import: writes an image to a new VDI on a storage repository of any type. */

import { basename } from 'node:path';
import { checkOptions, checkPath } from '../arguments.ts';
import type { SourceInput } from '../engine/input.ts';
import { inputOf } from '../engine/input.ts';
import { bytesRead, withDisk } from '../engine/job.ts';
import type { DiskInput } from '../engine/options.ts';
import { type WriteOptions, type WriteResult, writeDisk, writeTo } from '../engine/write.ts';
import { cancelledOr, messageOf, throwIfCancelled } from '../errors.ts';
import { createPool, type Pool } from '../host/pool.ts';
import { isUrl, redactUrl } from '../http/url.ts';
import { deviceTarget } from '../target/device.ts';
import { settleUdev } from './device.ts';
import { reapWith } from './reap.ts';
import type { NewVdi, Toolstack } from './toolstack.ts';
import { parseSrUuid } from './uuid.ts';
import { withVdi } from './vdi.ts';
import type { XeOptions } from './xe.ts';
import { createXeToolstack } from './xe-toolstack.ts';
import { newDisksReadZero } from './zero-rule.ts';

export interface ImportOptions extends Omit<WriteOptions, 'zeroTail'> {
  /** uuid of the storage repository for the VDI. */
  readonly sr: string;
  /** name-label of the VDI; the name of the source by default. */
  readonly name?: string | undefined;
  /** A plain volume instead of a VHD: faster to write, but it cannot be snapshotted or cloned. */
  readonly rawVdi?: boolean | undefined;
  readonly xe?: XeOptions | undefined;
}

/** Sizes in bytes. `target` is the device that the disk was written to, detached by now. */
export interface ImportResult extends WriteResult {
  /** uuid of the new VDI. */
  readonly vdi: string;
  readonly sr: string;
  readonly name: string;
  /** Bytes in the VDI: virtualSize, rounded up by the storage repository. The rest after the disk reads as zero. */
  readonly vdiSize: number;
}

let processPool: Pool | undefined;

/** Shared by all imports of the process, so that memory does not grow with their number. */
const sharedPool = (): Pool => {
  processPool ??= createPool();
  return processPool;
};

/**
 * Creates a VDI on a storage repository and writes the disk of an image to it.
 *
 * Resolves once the image has been read to its end and checked, the disk is synced to the medium, and the VDI is detached. Otherwise rejects
 * with a VdiStreamError: the VDI and its VBD have been removed, or the error's `left` lists what has not.
 */
export async function importImage(given: DiskInput, options: ImportOptions): Promise<ImportResult> {
  const input = inputOf('importImage', given);
  checkOptions('importImage', options);
  const { sr: uuid, name = defaultName(input), rawVdi = false, xe, zero, verify, ...disk } = options;
  const { force, signal: cancel, onProgress, pool = sharedPool() } = disk;
  const sr = parseSrUuid(uuid);
  const toolstack = createXeToolstack(xe);
  const stop = new AbortController();
  const signal = cancel === undefined ? stop.signal : AbortSignal.any([cancel, stop.signal]);
  // This does not need the image, whose first bytes may take a while. If either fails, it stops the other.
  const preparing = orCancellation(prepare(toolstack, sr, rawVdi, signal), cancel);
  preparing.catch(() => stop.abort()); // the error is thrown where it is awaited
  try {
    return await withDisk(input, { ...disk, signal, pool }, async (chosen, sources, job) => {
      const { readsZero, left } = await preparing;
      for (const message of left) job.warn({ code: 'REAP_LEFT', message });
      const wanted: NewVdi = { sr, name, size: chosen.virtualSize, raw: rawVdi };
      const imported = await withVdi(
        toolstack,
        wanted,
        async ({ vdi, size, target }) => {
          const written = await writeTo(target, chosen, sources, { zero, zeroTail: true, verify, force, signal, onProgress }, job);
          return { ...written, vdi, sr, name, vdiSize: size };
        },
        // An explicit `zero` policy applies even if new disks read as zero.
        { readsZero: readsZero && zero === undefined, signal, onWarning: job.warn },
      );
      return { ...imported, bytesRead: bytesRead(sources), seconds: job.seconds() };
    });
  } catch (error) {
    // If the preparation stopped the rest, throw its error.
    if (stop.signal.aborted && !cancel?.aborted) await preparing;
    stop.abort();
    await preparing.catch(() => {});
    throw error;
  }
}

/** Rejects with CANCELLED once the signal has fired, whatever error the interrupted command reports. */
const orCancellation = <T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> =>
  work.catch((error: unknown) => {
    throw cancelledOr(error, signal);
  });

interface Prepared {
  /** Whether a new VDI reads as zero. */
  readonly readsZero: boolean;
  /** What could not be removed of the VDIs left by earlier imports to this SR. */
  readonly left: readonly string[];
}

async function prepare(toolstack: Toolstack, sr: string, raw: boolean, signal: AbortSignal): Promise<Prepared> {
  const queries = [toolstack.host(signal), newDisksReadZero(toolstack, sr, raw, signal)] as const;
  const answers = Promise.all(queries);
  // If one command fails, the other must not outlive the import.
  await Promise.allSettled([answers, ...queries]);
  const [, readsZero] = await answers;
  const left = await reapWith(toolstack, { sr, dryRun: false, signal }).then(
    ({ leftOvers }) => leftOvers.flatMap((leftOver) => leftOver.left),
    (error: unknown) => [messageOf(error)],
  );
  throwIfCancelled(signal);
  return { readsZero, left };
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

/** `sr` is only used to find out whether its new disks read as zero. */
export type ImportDeviceOptions = Omit<ImportOptions, 'sr' | 'name'> & { readonly sr?: string | undefined };

/**
 * Writes to a device that the caller has attached and will detach: fills it to its end, syncs and closes it, and waits for udev. With `sr`,
 * it skips zeros if new disks of that SR read as zero.
 */
export async function importToDevice(given: DiskInput, device: string, options: ImportDeviceOptions = {}): Promise<WriteResult> {
  const input = inputOf('importToDevice', given);
  checkPath('importToDevice', 'the device', device);
  checkOptions('importToDevice', options);
  const { sr: uuid, rawVdi = false, xe, pool = sharedPool(), ...write } = options;
  const { zero, signal } = write;
  const sr = uuid === undefined ? undefined : parseSrUuid(uuid);
  const asks = sr !== undefined && zero === undefined;
  const readsZero = asks && (await orCancellation(newDisksReadZero(createXeToolstack(xe), sr, rawVdi, signal), signal));
  try {
    return await writeDisk(input, deviceTarget(device, { attached: true, readsZero }), { ...write, zeroTail: true, pool });
  } finally {
    await settleUdev();
  }
}
