/**
 * The block device of an attached VDI in Dom0. Its path is never guessed; the toolstack reports it: `sm/backend/<sr>/<vdi>` with sm before
 * 4.0, `nbd3` since, `xvda` for a loopback VBD (xen-api: ocaml/xapi/xapi_vbd.ml, `plug`).
 */

import { readFile, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { SECTOR } from '../bytes.ts';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import { startChild } from '../host/child.ts';
import { deviceId } from '../host/device-stack.ts';
import type { StoredVdi } from './toolstack.ts';

/** Milliseconds; the same as Nova's `block_device_creation_timeout`. */
const TIMEOUT = 10_000;
const INTERVAL = 20;

/** Waits for a device at least as large as the VDI, and returns the path to use. Throws DEVICE_MISSING. */
export async function waitForDevice(path: string, { uuid, sr, size, raw }: StoredVdi, signal?: AbortSignal): Promise<string> {
  for (const end = performance.now() + TIMEOUT; ; await sleep(INTERVAL)) {
    throwIfCancelled(signal);
    const found = await blockDeviceSize(path);
    if (found !== undefined && found >= size) break;
    if (performance.now() > end) throw deviceMissing(path, found, size);
  }
  if (!raw) return path;
  // A raw VDI is its volume, byte for byte: using the volume bypasses tapdisk.
  const volume = volumePath(sr, uuid);
  return ((await blockDeviceSize(volume)) ?? 0) >= size ? volume : path;
}

/** Where the volume of an attached VDI is (sm: PhyLink in drivers/blktap2.py). That of a VHD is its container. */
export const volumePath = (sr: string, vdi: string): string => `/dev/sm/phy/${sr}/${vdi}`;

/** The number (st_rdev) of a block device, which all its names share; undefined if it is none. */
export async function deviceNumber(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isBlockDevice() ? found.rdev : undefined;
}

const deviceMissing = (path: string, found: number | undefined, size: number): VdiStreamError =>
  new VdiStreamError(
    'DEVICE_MISSING',
    found === undefined ? `${path} did not become a block device` : `${path} has ${found} bytes, but the VDI has ${size}`,
    { device: path },
  );

/** Bytes, looked up by device number: sysfs does not have the storage manager's names. */
async function blockDeviceSize(path: string): Promise<number | undefined> {
  const number = await deviceNumber(path);
  if (number === undefined) return undefined;
  try {
    return Number(await readFile(`/sys/dev/block/${deviceId(number)}/size`, 'latin1')) * SECTOR;
  } catch {
    return undefined;
  }
}

/**
 * Waits until udev has finished with closed devices: it probes a device that was open for writing, which then counts as in use and cannot
 * be detached. Without udev there is nothing to wait for. Never rejects, because a clean-up follows.
 */
export async function settleUdev(): Promise<void> {
  try {
    const udevadm = await startChild('udevadm', ['settle', '--timeout=10']);
    for (const stream of [udevadm.stdin, udevadm.stdout, udevadm.stderr]) stream.destroy();
    const timer = setTimeout(() => udevadm.kill(), 15_000);
    await udevadm.ended;
    clearTimeout(timer);
  } catch {} // no udev, or no resources to start a process
}
