/**
 * The block device that an attached VDI has in Dom0. The toolstack gives its path, which is never guessed: `sm/backend/<sr>/<vdi>` with
 * sm before 4.0, `nbd3` since, `xvda` where a loopback VBD is made (xen-api: ocaml/xapi/xapi_vbd.ml, `plug`).
 */

import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { SECTOR } from '../bytes.ts';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import type { Vdi } from './toolstack.ts';

/** Milliseconds; as long as Nova waits for the node (its `block_device_creation_timeout`). */
const PATIENCE = 10_000;
const INTERVAL = 20;

/** Waits for a device as large as the VDI, and gives the path to write to. Throws DEVICE_MISSING. */
export async function waitForDevice(path: string, { uuid, sr, size, raw }: Vdi, signal?: AbortSignal): Promise<string> {
  for (const end = Date.now() + PATIENCE; ; await sleep(INTERVAL)) {
    throwIfCancelled(signal);
    const found = await blockDeviceSize(path);
    if (found !== undefined && found >= size) break;
    if (Date.now() > end) throw deviceMissing(path, found, size);
  }
  if (!raw) return path;
  // A raw VDI is its volume, byte for byte: written to directly, it saves the way through tapdisk (sm: PhyLink in drivers/blktap2.py).
  const volume = `/dev/sm/phy/${sr}/${uuid}`;
  return ((await blockDeviceSize(volume)) ?? 0) >= size ? volume : path;
}

const deviceMissing = (path: string, found: number | undefined, size: number): VdiStreamError =>
  new VdiStreamError(
    'DEVICE_MISSING',
    found === undefined ? `${path} has not become a block device` : `${path} has ${found} bytes, the VDI has ${size}`,
    { device: path },
  );

/** Bytes, looked up by the device's number: the storage manager's own nodes have names that sysfs does not know. */
async function blockDeviceSize(path: string): Promise<number | undefined> {
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
 * Waits until udev has looked at the devices that were closed: closing one that was open for writing has it probed, and meanwhile it
 * counts as in use and cannot be detached. A host without udev has nothing to wait for. Never rejects, for a clean-up follows it.
 */
export function settleUdev(): Promise<void> {
  return new Promise((resolve) => {
    try {
      execFile('udevadm', ['settle', '--timeout=10'], { timeout: 15_000 }, () => resolve());
    } catch {
      resolve(); // no memory for a process
    }
  });
}
