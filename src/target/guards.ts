/**
 * The guards: checks on a target before a byte is written, or anything opened for writing. Each is lifted only by its own name, so that a
 * caller who overwrites a disk on purpose says which danger to ignore.
 */

import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import { startsWith } from '../bytes.ts';
import type { ReadRange } from '../disk/probe.ts';
import { VdiStreamError } from '../errors.ts';
import { deviceId } from '../host/device-stack.ts';
import { isErrno } from '../host/errno.ts';
import { kernelText } from '../host/kernel-files.ts';
import type { Opened } from '../host/opened.ts';
import type { TargetPath } from '../host/target-path.ts';
import { COOKIE } from '../vhd/footer.ts';
import { deviceContent, fileContent } from './content.ts';
import { unfinishedSince } from './unfinished.ts';
import { userOf } from './users.ts';

/** Neither a block device nor a regular file. A directory cannot be written, whatever is lifted. */
export function refuseType({ path, kind, what, found }: TargetPath, forced: boolean): void {
  if (found?.isDirectory()) {
    const advice = 'Name a device, or a file in the directory.';
    throw new VdiStreamError('TARGET_TYPE', `${path} is ${what}, not a block device or a regular file`, {
      device: path,
      advice,
      final: true,
    });
  }
  if (kind !== 'other' || forced) return;
  throw new VdiStreamError('TARGET_TYPE', `${path} is ${what}, neither a block device nor a regular file`, { device: path });
}

/** `cause` is what claiming the device with O_EXCL threw. EBUSY: it is mounted, or held by device-mapper, md, swap or another writer. */
export function refuseClaimed(path: string, cause: unknown): void {
  if (isErrno(cause, 'EBUSY')) throw busy(path, 'is mounted or in use', cause);
}

/** `attached`: the device was attached for the caller, so the tapdisk that has it open serves no guest. */
export async function refuseUsed({ path, found }: TargetPath, attached: boolean): Promise<void> {
  const user = found && (await userOf(path, found, attached));
  if (user !== undefined) throw busy(path, `is in use by ${user}`);
}

const busy = (path: string, how: string, cause?: unknown): VdiStreamError =>
  new VdiStreamError('TARGET_BUSY', `${path} ${how}`, { device: path, cause });

export function refuseSmall(path: string, size: number, wanted: number): void {
  if (size >= wanted) return;
  throw new VdiStreamError('TARGET_SMALL', `${path} has ${size} bytes, but the disk needs ${wanted}`, { device: path });
}

/**
 * The refusal of a device or file that begins with a VHD footer, or of a logical volume that SM named VHD-<uuid> (xapi-project/sm,
 * lvhdutil.py). Raw data would destroy the tables of the VHD but leave the footer at the end of the volume, which libvhd reads first
 * (blktap, vhd_read_footer in vhd/lib/libvhd.c). Without `read`, only the name counts.
 */
export async function vhdRefusal(target: TargetPath, size: number, read: ReadRange | undefined): Promise<VdiStreamError | undefined> {
  const { path } = target;
  for (const name of await volumeNames(target)) {
    if (!/(?:^|-)VHD-/.test(name)) continue;
    return new VdiStreamError('TARGET_VHD', `${path} is the logical volume ${name}, which contains a VHD`, { device: path });
  }
  if (read === undefined || size < 512 || !startsWith(await read(0, 512), COOKIE)) return undefined;
  return new VdiStreamError('TARGET_VHD', `${path} begins with "conectix", so it contains a VHD`, { device: path });
}

/** The file name of the path, that of its link target, and the device-mapper name, in which LVM doubles each dash. */
async function volumeNames({ path, kind, found }: TargetPath): Promise<string[]> {
  if (kind !== 'block' || found === undefined) return [];
  const names = [basename(path)];
  names.push(basename(await realpath(path).catch(() => path)));
  names.push((await kernelText(`/sys/dev/block/${deviceId(found.rdev)}/dm/name`)).replaceAll('--', '-'));
  return names;
}

/** Known content of a device; any data in the first or the last MiB of a file. */
export async function refuseContent({ path, kind }: TargetPath, opened: Opened, read: ReadRange): Promise<void> {
  const content = await (kind === 'file' ? fileContent : deviceContent)(opened.size, read);
  if (content === undefined) return;
  const since = kind === 'block' ? await unfinishedSince(opened) : undefined;
  const earlier = since && `; it may come from a write by vdistream that began at ${since.toISOString()} and did not finish`;
  throw new VdiStreamError('TARGET_CONTENT', `${path} holds ${content}${earlier ?? ''}`, { device: path });
}
