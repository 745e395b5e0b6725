/**
 * The block device that a plugged VDI has in Dom0. Its path is what the toolstack answers, never a guess: it may be
 * `sm/backend/<sr>/<vdi>`, `nbd3` or `xvda`, by the age of the host (DOMAIN 0.2, 4.1).
 */

import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import type { Xe } from './xe.ts';

/** Nova waits as long for the node. Milliseconds. */
const PATIENCE = 10_000;
const INTERVAL = 20;
const SECTOR = 512;

export interface PluggedVbd {
  readonly vbd: string;
  /** Bytes that the device must have before it is used. */
  readonly size: number;
  /** Taken instead, where it leads to a block device: the volume itself, without the hop through tapdisk. */
  readonly shortcut?: string | undefined;
}

/** The path of the device, once it is there and as large as the VDI. Throws DEVICE_MISSING. */
export async function deviceOf(xe: Xe, { vbd, size, shortcut }: PluggedVbd, signal?: AbortSignal): Promise<string> {
  // `device` keeps its old value after an unplug, so it counts only for what is attached.
  const [device] = await xe.list('vbd-list', { uuid: vbd, 'currently-attached': 'true', params: 'device' }, signal);
  if (device === undefined || !isBelowDev(device)) {
    throw new VdiStreamError('DEVICE_MISSING', `the toolstack gives no device for VBD ${vbd}, but ${JSON.stringify(device ?? '')}`);
  }
  const path = `/dev/${device}`;
  for (const end = Date.now() + PATIENCE; ; await sleep(INTERVAL)) {
    throwIfCancelled(signal);
    const found = await sizeOf(path);
    if (found !== undefined && found >= size) break;
    if (Date.now() > end) throw missing(path, found, size);
  }
  return shortcut !== undefined && ((await sizeOf(shortcut)) ?? 0) >= size ? shortcut : path;
}

const isBelowDev = (device: string): boolean => /^[\w.:+@-]+(?:\/[\w.:+@-]+)*$/.test(device) && !device.split('/').includes('..');

const missing = (path: string, found: number | undefined, size: number): VdiStreamError =>
  new VdiStreamError(
    'DEVICE_MISSING',
    found === undefined ? `${path} has not become a block device` : `${path} has ${found} bytes, the VDI has ${size}`,
    { device: path },
  );

/** Bytes, by the number of the device: a node of the storage manager's own has a name that the kernel does not know. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path);
    if (!found.isBlockDevice()) return undefined;
    // makedev(3): 12 bits of the major number stand above 8 of the minor one, and the rest of that above them.
    const major = Math.floor(found.rdev / 2 ** 8) % 2 ** 12;
    const minor = (found.rdev % 2 ** 8) + Math.floor(found.rdev / 2 ** 20) * 2 ** 8;
    return Number(await readFile(`/sys/dev/block/${major}:${minor}/size`, 'latin1')) * SECTOR;
  } catch {
    return undefined;
  }
}

/**
 * Waits until udev has looked at a device that was closed: while it does, the device counts as open and cannot be detached (DOMAIN 5).
 * A host without udev has nothing to wait for. Rejects never: a clean-up goes on behind it.
 */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    try {
      execFile('udevadm', ['settle', '--timeout=10'], { timeout: 15_000 }, () => resolve());
    } catch {
      resolve(); // no memory for a process
    }
  });
}
