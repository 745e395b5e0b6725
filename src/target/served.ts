/**
 * Who serves a block device to a guest. Those programs open it without an exclusive claim, so the kernel lets a writer have it as well.
 *
 *   blkback   /sys/bus/xen-backend/devices/vbd-DOMID-DEVID/physical_device   MAJOR:MINOR, hexadecimal
 *   tapdisk, qemu   /proc/PID/fd, and /proc/PID/comm for their names
 */

import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import type { Opened } from '../host/native.ts';

const BACKENDS = '/sys/bus/xen-backend/devices';
/** A backend of domain 0 is the plug through which Dom0 itself writes, by the name of the front end. */
const BACKEND = /^vbd-([1-9]\d*)-\d+$/;

/**
 * The domain that Xen's own backend gives it to ("domain 7"), or else the process that has it open for a guest ("tapdisk, process 1234").
 * With `attached`, such a process serves the caller.
 */
export async function serverOf(device: Opened, attached: boolean): Promise<string | undefined> {
  const numbers = await numbersOf(device);
  return (await domainWith(numbers)) ?? (attached ? undefined : processWith(numbers, device.major === NBD));
}

async function domainWith(numbers: ReadonlySet<number>): Promise<string | undefined> {
  for (const name of await entriesOf(BACKENDS)) {
    const [, domain] = BACKEND.exec(name) ?? [];
    if (domain === undefined) continue;
    // No number yet, or no more, is a guest that comes or goes.
    const physical = await textOf(`${BACKENDS}/${name}/physical_device`);
    if (physical !== '' && numbers.has(numberOf(physical, 16))) return `domain ${domain}`;
  }
  return undefined;
}

/** As /proc cuts them, and as the versions of XenServer number them: tapdisk, tapdisk2, qemu-system-i38, qemu-dm. */
const SERVER = /^(?:tapdisk|qemu)/;

/** /dev/nbdN, which `qemu-nbd --connect` makes for its own host, and has open. */
const NBD = 43;

async function processWith(numbers: ReadonlySet<number>, isNbd: boolean): Promise<string | undefined> {
  // One after the other: there may be more processes than this one may have files open.
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
    // Asking for the state of an image on a server that has gone would wait for it.
    if (!(await readlink(path).catch(() => '')).includes('/dev/')) continue;
    const found = await stat(path).catch(() => undefined);
    if (found?.isBlockDevice() && numbers.has(found.rdev)) return true;
  }
  return false;
}

/** Of MAJOR:MINOR, as `stat` tells it (makedev(3)). */
function numberOf(text: string, radix: 10 | 16): number {
  const [major = 0, minor = 0] = text.split(':').map((part) => Number.parseInt(part, radix));
  return (minor & 0xff) + major * 0x100 + (minor >>> 8) * 0x10_0000;
}

/** Of the device, of the disk that it is a part of, and of its own parts: who has one of them has bytes of the others. */
async function numbersOf({ major, minor }: Opened): Promise<ReadonlySet<number>> {
  const folder = `/sys/dev/block/${major}:${minor}`;
  const isPart = async (path: string): Promise<boolean> => (await textOf(`${path}/partition`)) !== '';
  const files = (await isPart(folder)) ? [`${folder}/../dev`] : [];
  for (const name of await entriesOf(folder)) if (await isPart(`${folder}/${name}`)) files.push(`${folder}/${name}/dev`);
  const others = (await Promise.all(files.map(textOf))).filter((text) => text !== '');
  return new Set([`${major}:${minor}`, ...others].map((text) => numberOf(text, 10)));
}

/** Empty where there is no such file, or no more. */
const textOf = async (path: string): Promise<string> => (await readFile(path, 'latin1').catch(() => '')).trim();

/** None where there is no such folder, or no more: no Xen, no such process, or none of this user's. */
const entriesOf = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
