/** Import: from an image to a VDI on any kind of storage repository. */

import { basename } from 'node:path';
import { bytesRead, withDisk } from '../engine/job.ts';
import type { SourceInput } from '../engine/open.ts';
import type { DiskInput } from '../engine/options.ts';
import { type WriteOptions, type WriteResult, writeDisk, writeTo } from '../engine/write.ts';
import { cancelledOr, messageOf, throwIfCancelled } from '../errors.ts';
import { createPool, type Pool } from '../host/pool.ts';
import { isUrl, redactUrl } from '../http/url.ts';
import { settle } from './device.ts';
import { type Host, thisHost } from './host.ts';
import { reapOn } from './reap.ts';
import { srFrom } from './uuid.ts';
import { withVdi } from './vdi.ts';
import { createXe, type Xe, type XeOptions } from './xe.ts';
import { newDisksReadZero } from './zero-rule.ts';

export interface ImportOptions extends Omit<WriteOptions, 'zeroTail' | 'attached'> {
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
  /** Bytes of the VDI: virtualSize, rounded up by the storage repository. What is behind the disk reads as zero. */
  readonly vdiSize: number;
}

let shared: Pool | undefined;

/** One for all imports of the process, so that its memory does not depend on how many there are. */
const sharedPool = (): Pool => {
  shared ??= createPool();
  return shared;
};

/**
 * Makes a VDI on a storage repository and writes the disk of an image to it.
 *
 * Resolves only when the disk is on the medium, was found whole, and the VDI is detached. Rejects with a VdiStreamError otherwise; the
 * VDI and its VBD are then gone, or `left` of the error says what is not.
 */
export async function importImage(input: DiskInput, options: ImportOptions): Promise<ImportResult> {
  const { rawVdi = false } = options;
  const sr = srFrom(options.sr);
  const xe = createXe(options.xe);
  const name = options.name ?? nameFor(input);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  // Nothing of this needs the image, and the image's first bytes may take a while. What fails first ends the other.
  const preparing = heeding(options.signal, prepare(xe, sr, rawVdi, signal));
  preparing.catch(() => stop.abort()); // told where it is waited for
  try {
    return await withDisk(input, { ...options, signal, pool: options.pool ?? sharedPool() }, async (chosen, sources, job) => {
      const { host, readsZero, left } = await preparing;
      for (const message of left) job.warn({ code: 'REAP_LEFT', message });
      const wanted = { sr, name, size: chosen.disk.virtualSize, raw: rawVdi };
      const zero = options.zero ?? (readsZero ? 'assume-zero' : 'auto');
      const imported = await withVdi(
        xe,
        host,
        wanted,
        async ({ vdi, size, device }) => {
          const written = await writeTo(device, chosen, sources, { ...options, signal, zero, zeroTail: true, attached: true }, job);
          return { ...written, vdi, sr, name, vdiSize: size };
        },
        { signal, onWarning: job.warn },
      );
      return { ...imported, bytesRead: bytesRead(sources), seconds: job.seconds() };
    });
  } catch (error) {
    if (stop.signal.aborted && !options.signal?.aborted) await preparing;
    stop.abort();
    await preparing.catch(() => {});
    throw error;
  }
}

/** What a command says that was hurried to its end by the signal is not the story. */
const heeding = <T>(signal: AbortSignal | undefined, work: Promise<T>): Promise<T> =>
  work.catch((error: unknown) => {
    throw cancelledOr(error, signal);
  });

interface Prepared {
  readonly host: Host;
  /** Whether a new VDI reads as zero. */
  readonly readsZero: boolean;
  /** What could not be removed of what earlier imports to the same place have left. */
  readonly left: readonly string[];
}

async function prepare(xe: Xe, sr: string, raw: boolean, signal: AbortSignal | undefined): Promise<Prepared> {
  const asking = [thisHost(xe, signal), newDisksReadZero(xe, sr, raw, signal)] as const;
  const asked = Promise.all(asking);
  // No command outlives the import, not even one that another has failed meanwhile.
  await Promise.allSettled([asked, ...asking]);
  const [host, readsZero] = await asked;
  const left = await reapOn(xe, host, { sr, signal }).then(
    ({ leftOvers }) => leftOvers.flatMap((leftOver) => leftOver.left),
    (error: unknown) => [messageOf(error)],
  );
  throwIfCancelled(signal);
  return { host, readsZero, left };
}

function nameFor(input: DiskInput): string {
  const [first = input] = Array.isArray(input) ? input : [];
  const printable = ownName(first)
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim();
  return first === '-' || printable === '' ? 'vdistream' : printable;
}

/** Everybody sees it, so nothing of an address that may be a secret: the last part of its path. */
function ownName(input: SourceInput): string {
  const name = typeof input === 'string' ? input : 'name' in input ? String(input.name) : 'stream';
  return basename(isUrl(name) ? redactUrl(name) : name);
}

/** An SR is only told to know what its new disks read as. */
export type DeviceOptions = Omit<ImportOptions, 'sr' | 'name'> & { readonly sr?: string | undefined };

/**
 * Writes to a device that the caller has attached and will detach: the whole of it, its end included, synced, closed, and let go by udev.
 * Where the SR is told, its new disks' zeros are relied on.
 */
export async function importToDevice(input: DiskInput, device: string, options: DeviceOptions = {}): Promise<WriteResult> {
  const { rawVdi = false, signal } = options;
  const sr = options.sr === undefined ? undefined : srFrom(options.sr);
  const asks = sr !== undefined && options.zero === undefined;
  const readsZero = asks && (await heeding(signal, newDisksReadZero(createXe(options.xe), sr, rawVdi, signal)));
  const zero = options.zero ?? (readsZero ? 'assume-zero' : 'auto');
  try {
    return await writeDisk(input, device, { ...options, zero, zeroTail: true, attached: true, pool: options.pool ?? sharedPool() });
  } finally {
    await settle();
  }
}
