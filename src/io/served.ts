/**
 * Who serves a block device to a guest. Those programs open it without an exclusive claim, so the kernel lets a writer have it as well.
 *
 *   blkback   /sys/bus/xen-backend/devices/vbd-DOMID-DEVID/physical_device   MAJOR:MINOR, hexadecimal
 *   tapdisk, qemu   /proc/PID/fd, and /proc/PID/comm for their names
 */

import { readdir, readFile, stat } from 'node:fs/promises';
import type { Opened } from './native.ts';

const BACKENDS = '/sys/bus/xen-backend/devices';
/** A backend of domain 0 is the plug through which Dom0 itself writes, by the name of the front end. */
const BACKEND = /^vbd-([1-9]\d*)-\d+$/;

/** The domain that Xen's own backend gives it to: "domain 7". */
export async function domainOf({ major, minor }: Opened): Promise<string | undefined> {
  const number = `${major.toString(16)}:${minor.toString(16)}`;
  for (const name of await entriesOf(BACKENDS)) {
    const [, domain] = BACKEND.exec(name) ?? [];
    if (domain === undefined) continue;
    // No number yet, or no more, is a guest that comes or goes.
    const physical = await readFile(`${BACKENDS}/${name}/physical_device`, 'latin1').catch(() => '');
    if (physical.trim() === number) return `domain ${domain}`;
  }
  return undefined;
}

/** As /proc cuts them, and as the versions of XenServer number them: tapdisk, tapdisk2, qemu-system-i38, qemu-dm. */
const SERVER = /^(?:tapdisk|qemu)/;

/** The process that has it open for a guest: "tapdisk, process 1234". */
export async function serverOf({ fd }: Opened): Promise<string | undefined> {
  const { rdev } = await stat(`/proc/self/fd/${fd}`);
  const pids = (await entriesOf('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map((pid) => server(pid, rdev)));
  return found.find((one) => one !== undefined);
}

async function server(pid: string, device: number): Promise<string | undefined> {
  const name = (await readFile(`/proc/${pid}/comm`, 'latin1').catch(() => '')).trim();
  if (!SERVER.test(name)) return undefined;
  for (const fd of await entriesOf(`/proc/${pid}/fd`)) {
    const found = await stat(`/proc/${pid}/fd/${fd}`).catch(() => undefined);
    if (found?.isBlockDevice() && found.rdev === device) return `${name}, process ${pid}`;
  }
  return undefined;
}

/** None where there is no such folder, or no more: no Xen, no such process, or none of this user's. */
const entriesOf = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
