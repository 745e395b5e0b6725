/** Import: from an image to a VDI on any kind of storage repository. */

import { basename } from 'node:path';
import { bytesRead, withDisk } from '../engine/job.ts';
import type { SourceInput } from '../engine/open.ts';
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
  /** uuid of the storage repository that the VDI is made on. */
  readonly sr: string;
  /** name-label of the VDI; the name of the source by default. */
  readonly name?: string | undefined;
  /** A plain volume instead of a VHD: written to directly, but it can be neither snapshotted nor cloned. */
  readonly rawVdi?: boolean | undefined;
  readonly xe?: XeOptions | undefined;
}

/** Sizes in bytes. `target` is the device that the disk was written to; it is detached again. */
export interface ImportResult extends WriteResult {
  /** uuid of the new VDI. */
  readonly vdi: string;
  readonly sr: string;
  readonly name: string;
  /** Bytes of the VDI: virtualSize, rounded up by the storage repository. What follows the disk reads as zero. */
  readonly vdiSize: number;
}

let processPool: Pool | undefined;

/** One for all imports of the process, so that its memory does not depend on how many there are. */
const sharedPool = (): Pool => {
  processPool ??= createPool();
  return processPool;
};

/**
 * Makes a VDI on a storage repository and writes the disk of an image to it.
 *
 * Resolves only when the disk is on the medium, was found whole, and the VDI is detached. Rejects with a VdiStreamError otherwise; the
 * VDI and its VBD are then gone, or `left` of the error says what is not.
 */
export async function importImage(input: DiskInput, options: ImportOptions): Promise<ImportResult> {
  const { sr: given, name = defaultName(input), rawVdi = false, xe, zero, verify, ...disk } = options;
  const { force, signal: cancel, onProgress, pool = sharedPool() } = disk;
  const sr = parseSrUuid(given);
  const toolstack = createXeToolstack(xe);
  const stop = new AbortController();
  const signal = cancel === undefined ? stop.signal : AbortSignal.any([cancel, stop.signal]);
  // Nothing of this needs the image, whose first bytes may take a while. Whichever fails first ends the other.
  const preparing = orCancellation(prepare(toolstack, sr, rawVdi, signal), cancel);
  preparing.catch(() => stop.abort()); // its error is thrown where it is awaited
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
        // Whoever asks for a policy gets it, whatever new disks read as.
        { readsZero: readsZero && zero === undefined, signal, onWarning: job.warn },
      );
      return { ...imported, bytesRead: bytesRead(sources), seconds: job.seconds() };
    });
  } catch (error) {
    // Where the preparation has stopped the rest, its error is the one to throw.
    if (stop.signal.aborted && !cancel?.aborted) await preparing;
    stop.abort();
    await preparing.catch(() => {});
    throw error;
  }
}

/** A command that the signal has cut short fails for that reason alone, whatever it says. */
const orCancellation = <T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> =>
  work.catch((error: unknown) => {
    throw cancelledOr(error, signal);
  });

interface Prepared {
  /** Whether a new VDI reads as zero. */
  readonly readsZero: boolean;
  /** What could not be removed of what earlier imports to the same place have left. */
  readonly left: readonly string[];
}

async function prepare(toolstack: Toolstack, sr: string, raw: boolean, signal: AbortSignal): Promise<Prepared> {
  const asking = [toolstack.host(signal), newDisksReadZero(toolstack, sr, raw, signal)] as const;
  const answers = Promise.all(asking);
  // No command outlives the import, not even one beside which another has failed.
  await Promise.allSettled([answers, ...asking]);
  const [, readsZero] = await answers;
  const left = await reapWith(toolstack, { sr, dryRun: false, signal }).then(
    ({ leftOvers }) => leftOvers.flatMap((leftOver) => leftOver.left),
    (error: unknown) => [messageOf(error)],
  );
  throwIfCancelled(signal);
  return { readsZero, left };
}

/** The name of the source, if it has one that can be printed. */
function defaultName(input: DiskInput): string {
  const [first = input] = Array.isArray(input) ? input : [];
  const printable = sourceName(first)
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim();
  return first === '-' || printable === '' ? 'vdistream' : printable;
}

/** The last part of a path or of an address's path, as everybody sees it: the rest of an address may be a secret. */
function sourceName(input: SourceInput): string {
  const name = typeof input === 'string' ? input : 'name' in input ? String(input.name) : 'stream';
  return basename(isUrl(name) ? redactUrl(name) : name);
}

/** The SR, where it is given, is only asked what its new disks read as. */
export type ImportDeviceOptions = Omit<ImportOptions, 'sr' | 'name'> & { readonly sr?: string | undefined };

/**
 * Writes to a device that the caller has attached and will detach: the whole of it, its end included, synced, closed, and let go by udev.
 * If the SR is given, its new disks' zeros are relied on.
 */
export async function importToDevice(input: DiskInput, device: string, options: ImportDeviceOptions = {}): Promise<WriteResult> {
  const { sr: given, rawVdi = false, xe, pool = sharedPool(), ...write } = options;
  const { zero, signal } = write;
  const sr = given === undefined ? undefined : parseSrUuid(given);
  const asks = sr !== undefined && zero === undefined;
  const readsZero = asks && (await orCancellation(newDisksReadZero(createXeToolstack(xe), sr, rawVdi, signal), signal));
  try {
    return await writeDisk(input, deviceTarget(device, { attached: true, readsZero }), { ...write, zeroTail: true, pool });
  } finally {
    await settleUdev();
  }
}
