/**
 * Finds what serves a block device to a guest. Backends open it without O_EXCL, so the kernel does not keep other writers out.
 *
 *   blkback   /sys/bus/xen-backend/devices/vbd-DOMID-DEVID/physical_device   MAJOR:MINOR, hexadecimal
 *   tapdisk, qemu   /proc/PID/fd, and /proc/PID/comm for their names
 */

import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import type { Opened } from '../host/native.ts';

const BACKENDS = '/sys/bus/xen-backend/devices';
/** Skips backends for domain 0: through those Dom0 itself uses the device. */
const BACKEND = /^vbd-([1-9]\d*)-\d+$/;

/**
 * The domain that blkback serves the device to ("domain 7"), or the process that has it open for a guest ("tapdisk, process 1234"). With
 * `attached`, such a process serves the caller and is ignored.
 */
export async function serverOf(device: Opened, attached: boolean): Promise<string | undefined> {
  const numbers = await numbersOf(device);
  return (await domainWith(numbers)) ?? (attached ? undefined : processWith(numbers, device.major === NBD));
}

async function domainWith(numbers: ReadonlySet<number>): Promise<string | undefined> {
  for (const name of await entriesOf(BACKENDS)) {
    const [, domain] = BACKEND.exec(name) ?? [];
    if (domain === undefined) continue;
    // Empty while the guest starts or stops.
    const physical = await textOf(`${BACKENDS}/${name}/physical_device`);
    if (physical !== '' && numbers.has(numberOf(physical, 16))) return `domain ${domain}`;
  }
  return undefined;
}

/** Process names, which /proc truncates, in all versions of XenServer: tapdisk, tapdisk2, qemu-system-i38, qemu-dm. */
const SERVER = /^(?:tapdisk|qemu)/;

/** The major number of /dev/nbdN. `qemu-nbd --connect` has one open, but serves it to this host, not to a guest. */
const NBD = 43;

async function processWith(numbers: ReadonlySet<number>, isNbd: boolean): Promise<string | undefined> {
  // One at a time: there may be more processes than file descriptors.
  for (const pid of await entriesOf('/proc')) {
    const name = /^\d+$/.test(pid) ? await textOf(`/proc/${pid}/comm`) : '';
    if (!SERVER.test(name) || (isNbd && name === 'qemu-nbd')) continue;
    if (await hasOpen(pid, numbers)) return `${name}, process ${pid}`;
  }
  return undefined;
}

async function hasOpen(pid: string, numbers: ReadonlySet<number>): Promise<boolean> {
  for (const fd of await entriesOf(`/proc/${pid}/fd`)) {
    const path = `/proc/${pid}/fd/${fd}`;
    // Only paths in /dev: `stat` on a file of an unreachable server would hang.
    if (!(await readlink(path).catch(() => '')).includes('/dev/')) continue;
    const found = await stat(path).catch(() => undefined);
    if (found?.isBlockDevice() && numbers.has(found.rdev)) return true;
  }
  return false;
}

/** MAJOR:MINOR as the number that `stat` returns (makedev(3)). */
function numberOf(text: string, radix: 10 | 16): number {
  const [major = 0, minor = 0] = text.split(':').map((part) => Number.parseInt(part, radix));
  return (minor & 0xff) + major * 0x100 + (minor >>> 8) * 0x10_0000;
}

/** The numbers of the device, of the disk it is a partition of, and of its own partitions, since they share bytes. */
async function numbersOf({ major, minor }: Opened): Promise<ReadonlySet<number>> {
  const folder = `/sys/dev/block/${major}:${minor}`;
  const isPart = async (path: string): Promise<boolean> => (await textOf(`${path}/partition`)) !== '';
  const files = (await isPart(folder)) ? [`${folder}/../dev`] : [];
  for (const name of await entriesOf(folder)) if (await isPart(`${folder}/${name}`)) files.push(`${folder}/${name}/dev`);
  const others = (await Promise.all(files.map(textOf))).filter((text) => text !== '');
  return new Set([`${major}:${minor}`, ...others].map((text) => numberOf(text, 10)));
}

/** Empty if there is no such file, or it has just gone. */
const textOf = async (path: string): Promise<string> => (await readFile(path, 'latin1').catch(() => '')).trim();

/** Empty if the folder cannot be read: no Xen, a process that has ended, or another user's process. */
const entriesOf = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
