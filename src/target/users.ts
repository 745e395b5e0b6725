/**
 * Finds what else uses a device or a file. Backends open it without O_EXCL, so the kernel does not keep other writers out.
 *
 *   blkback   /sys/bus/xen-backend/devices/vbd-DOMID-DEVID/physical_device   MAJOR:MINOR, hexadecimal
 *   tapdisk, qemu   /proc/PID/fd, and /proc/PID/comm for their names
 *   loop devices    /sys/block/loopN/loop/backing_file
 *   swap files      /proc/swaps
 */

import type { Stats } from 'node:fs';
import { readlink, realpath, stat } from 'node:fs/promises';
import { deviceId, deviceStack, loopsOver, partitionsOf } from '../host/device-stack.ts';
import { fileId } from '../host/file-id.ts';
import { kernelText, namesIn } from '../host/kernel-files.ts';

/**
 * What uses it, for people: "domain 7", "tapdisk, process 1234", "/dev/loop0", "the kernel as swap space". With `attached`, processes that have the device open
 * serve the caller and are ignored.
 */
export async function userOf(path: string, found: Stats, attached: boolean): Promise<string | undefined> {
  const stack = await deviceStack(found);
  if (stack === undefined) return undefined;
  const own = found.isBlockDevice() ? deviceId(found.rdev) : fileId(found);
  // A disk and its partitions share bytes too.
  const parts = found.isBlockDevice() ? await partitionsOf(own) : [];
  const [loop] = await loopsOver(new Set([own, ...parts]));
  if (loop !== undefined) return loop;
  if (await isSwappedOn(found)) return 'the kernel as swap space';
  const ids = new Set([...stack.layers, ...parts]);
  const domain = await domainWith(ids);
  if (domain !== undefined || attached) return domain;
  return processWith(await realpath(path).catch(() => path), ids, own.startsWith(NBD));
}

const BACKENDS = '/sys/bus/xen-backend/devices';
/** Skips backends for domain 0: through those Dom0 itself uses the device. */
const BACKEND = /^vbd-([1-9]\d*)-\d+$/;

async function domainWith(ids: ReadonlySet<string>): Promise<string | undefined> {
  for (const name of await namesIn(BACKENDS)) {
    const [, domain] = BACKEND.exec(name) ?? [];
    if (domain === undefined) continue;
    // Empty while the guest starts or stops.
    const [major, minor] = (await kernelText(`${BACKENDS}/${name}/physical_device`))
      .split(':')
      .map((digits) => Number.parseInt(digits, 16));
    if (ids.has(`${major}:${minor}`)) return `domain ${domain}`;
  }
  return undefined;
}

/** A device that is swapped on is claimed with O_EXCL; a file is only listed. */
async function isSwappedOn(found: Stats): Promise<boolean> {
  const [, ...lines] = (await kernelText('/proc/swaps')).split('\n');
  for (const line of lines) {
    // Spaces in the name are octal (proc_pid_mounts(5)); the columns are separated by spaces and tabs.
    const name = (line.split(/\s/)[0] ?? '').replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 8)),
    );
    const used = name.startsWith('/') ? await stat(name).catch(() => undefined) : undefined;
    if (used !== undefined && fileId(used) === fileId(found)) return true;
  }
  return false;
}

/** Process names, which /proc truncates, in all versions of XenServer: tapdisk, tapdisk2, qemu-system-i38, qemu-dm. */
const SERVER = /^(?:tapdisk|qemu)/;

/** The major number of /dev/nbdN. `qemu-nbd --connect` has one open, but serves it to this host, not to a guest. */
const NBD = '43:';

async function processWith(path: string, ids: ReadonlySet<string>, isNbd: boolean): Promise<string | undefined> {
  const pids = (await namesIn('/proc')).filter((name) => /^\d+$/.test(name));
  while (pids.length > 0) {
    // Not all together: there may be more processes than file descriptors.
    const names = pids.splice(0, 16).map(async (pid) => ({ pid, name: await kernelText(`/proc/${pid}/comm`) }));
    for (const { pid, name } of await Promise.all(names)) {
      if (!SERVER.test(name) || (isNbd && name === 'qemu-nbd')) continue;
      if (await hasOpen(pid, path, ids)) return `${name}, process ${pid}`;
    }
  }
  return undefined;
}

async function hasOpen(pid: string, path: string, ids: ReadonlySet<string>): Promise<boolean> {
  const mounts = await mountsOf(pid, ids);
  for (const fd of await namesIn(`/proc/${pid}/fd`)) {
    const link = `/proc/${pid}/fd/${fd}`;
    const name = await readlink(link).catch(() => '');
    // `stat` on a file of an unreachable server would hang, so only what can be the target is looked at.
    const near = name === path || name.includes('/dev/') || mounts.has(await mountOf(pid, fd));
    const other = near ? await stat(link).catch(() => undefined) : undefined;
    if (other?.isBlockDevice() && ids.has(deviceId(other.rdev))) return true;
    if (other?.isFile() && ids.has(fileId(other))) return true;
  }
  return false;
}

/** The mounts of a process that hold one of the files, by mount ID (proc_pid_mountinfo(5)). */
async function mountsOf(pid: string, ids: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const devices = [...ids].flatMap((id) => /^file (\d+):/.exec(id)?.[1] ?? []).map((device) => deviceId(Number(device)));
  if (devices.length === 0) return new Set();
  const rows = (await kernelText(`/proc/${pid}/mountinfo`)).split('\n').map((line) => line.split(' '));
  return new Set(rows.flatMap(([id = '', , device = '']) => (devices.includes(device) ? [id] : [])));
}

/** The ID of the mount that a descriptor was opened on (proc_pid_fdinfo(5)). */
const mountOf = async (pid: string, fd: string): Promise<string> =>
  /^mnt_id:\s*(\d+)$/m.exec(await kernelText(`/proc/${pid}/fdinfo/${fd}`))?.[1] ?? '';
