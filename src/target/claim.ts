/**
 * Claim: an existing target, open for reading while the guards look at it. On a block device it excludes other writers until it is closed,
 * because O_EXCL needs no write access (open(2)).
 */

import { fstatSync, type Stats } from 'node:fs';
import { roundDown, roundUp } from '../bytes.ts';
import type { ReadRange } from '../disk/probe.ts';
import { VdiStreamError } from '../errors.ts';
import { guarded, ioError } from '../host/errno.ts';
import { fileId } from '../host/file-id.ts';
import { allocate } from '../host/memory.ts';
import type { Native } from '../host/native.ts';
import type { Opened } from '../host/opened.ts';
import type { TargetPath } from '../host/target-path.ts';
import { refuseClaimed } from './guards.ts';

/** Throws TARGET_BUSY if `exclusive` and something else has claimed the device, and TARGET_OPEN. */
export async function claimed(addon: Native, { path, kind, found }: TargetPath, exclusive: boolean): Promise<Opened> {
  let opened: Opened;
  try {
    opened = await addon.open(path, { write: false, direct: true, exclusive: exclusive && kind === 'block', create: false });
  } catch (cause) {
    refuseClaimed(path, cause);
    throw ioError('TARGET_OPEN', path, cause);
  }
  return unlessReplaced(addon, path, opened, found);
}

/** What was claimed, open for writing, next to the claim. Throws TARGET_OPEN. */
export async function reopened(addon: Native, path: string, claim: Opened): Promise<Opened> {
  const opened = await addon
    .open(path, { write: true, direct: true, exclusive: false, create: false })
    .catch((cause: unknown) => Promise.reject(ioError('TARGET_OPEN', path, cause)));
  return unlessReplaced(addon, path, opened, fstatSync(claim.fd));
}

/** The path may lead somewhere else by now, where no guard has looked. */
async function unlessReplaced(addon: Native, path: string, opened: Opened, expected: Stats | undefined): Promise<Opened> {
  if (expected !== undefined && fileId(fstatSync(opened.fd)) === fileId(expected)) return opened;
  await addon.close(opened.fd).catch(() => {});
  throw new VdiStreamError('TARGET_OPEN', `${path} was replaced while it was being opened`, { device: path });
}

/** Reads any range of it, in whole sectors. */
export function rangeReader(addon: Native, path: string, { fd, sector }: Opened): ReadRange {
  return async (offset, length) => {
    const start = roundDown(offset, sector);
    const bytes = new Uint8Array(allocate(roundUp(offset + length, sector) - start));
    await guarded('TARGET_READ', path, addon.read(fd, bytes, start));
    return bytes.subarray(offset - start, offset - start + length);
  };
}
