/**
 * The guards: checks on a target before a byte is written. Each is lifted only by its own name, so that a caller who overwrites a disk on
 * purpose says which danger to ignore.
 */

import { readFile, realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import { startsWith } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { guarded, isErrno } from '../host/errno.ts';
import { allocate } from '../host/memory.ts';
import type { Native, Opened } from '../host/native.ts';
import { COOKIE } from '../vhd/footer.ts';
import { serverOf } from './served.ts';

/** Neither a block device nor a regular file. */
export function refuseType(path: string, opened: Opened): void {
  if (opened.kind === 'other') throw wrongType(path);
}

/**
 * `cause` is what opening for writing with O_EXCL threw: EBUSY means mounted, or held by device-mapper, md, swap or another
 * writer; a directory or a socket cannot be opened at all.
 */
export function refuseUnopened(path: string, cause: unknown): void {
  if (isErrno(cause, 'EISDIR', 'ENXIO')) throw wrongType(path, cause);
  if (isErrno(cause, 'EBUSY')) throw new VdiStreamError('TARGET_BUSY', `${path} is mounted or in use`, { device: path, cause });
}

/** `attached`: the device was attached for the caller, so the tapdisk that has it open serves no guest. */
export async function refuseServed(path: string, opened: Opened, attached: boolean): Promise<void> {
  if (opened.kind !== 'block') return;
  const server = await serverOf(opened, attached);
  if (server === undefined) return;
  throw new VdiStreamError('TARGET_BUSY', `${path} is served to a guest: ${server} uses it`, { device: path });
}

function wrongType(path: string, cause?: unknown): VdiStreamError {
  return new VdiStreamError('TARGET_TYPE', `${path} is neither a block device nor a regular file`, { device: path, cause });
}

export function refuseSmall(path: string, size: number, wanted: number): void {
  if (size >= wanted) return;
  throw new VdiStreamError('TARGET_SMALL', `${path} has ${size} bytes, but the disk needs ${wanted}`, { device: path });
}

/**
 * Refuses a device or file that begins with a VHD footer, and a logical volume that SM named VHD-<uuid> (xapi-project/sm, lvhdutil.py).
 * Raw data would destroy the tables of the VHD but leave the footer at the end of the volume, which libvhd reads first (blktap,
 * vhd_read_footer in vhd/lib/libvhd.c).
 */
export async function refuseVhd(path: string, opened: Opened, addon: Native): Promise<void> {
  for (const name of await volumeNames(path, opened)) {
    if (!/(?:^|-)VHD-/.test(name)) continue;
    throw new VdiStreamError('TARGET_VHD', `${path} is the logical volume ${name}, which contains a VHD`, { device: path });
  }
  // An empty dynamic VHD may be as small as five sectors.
  if (opened.size < (opened.kind === 'file' ? 512 : 4096)) return;
  const front = new Uint8Array(allocate(4096));
  await guarded('TARGET_READ', path, addon.read(opened.fd, front, 0));
  if (startsWith(front, COOKIE)) {
    throw new VdiStreamError('TARGET_VHD', `${path} begins with "conectix", so it contains a VHD`, { device: path });
  }
}

/** The file name of the path, that of its link target, and the device-mapper name, in which LVM doubles each dash. */
async function volumeNames(path: string, opened: Opened): Promise<string[]> {
  if (opened.kind !== 'block') return [];
  const names = [basename(path)];
  names.push(basename(await realpath(path).catch(() => path)));
  const mapped = await readFile(`/sys/dev/block/${opened.major}:${opened.minor}/dm/name`, 'utf8').catch(() => '');
  names.push(mapped.trim().replaceAll('--', '-'));
  return names;
}
