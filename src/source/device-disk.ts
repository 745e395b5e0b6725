/** A block device, a logical volume or a raw file as a disk that can be read at any place. */

import { fstatSync } from 'node:fs';
import { roundUp, SECTOR } from '../bytes.ts';
import type { Range } from '../disk/disk.ts';
import type { DiskOpener, ReadableDisk } from '../disk/readable.ts';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import { descriptorUse } from '../host/descriptor-use.ts';
import { deviceId } from '../host/device-stack.ts';
import { guarded, ioError } from '../host/errno.ts';
import { kernelText } from '../host/kernel-files.ts';
import { native } from '../host/native.ts';
import type { Opened } from '../host/opened.ts';
import type { OnWarning } from '../warnings.ts';
import { sharing } from './path.ts';

/** A file that ends in a partial sector is padded with zeros: RAW_PADDED. */
export function deviceDisk(path: string): DiskOpener {
  return { name: path, open: ({ onWarning }) => openDevice(path, onWarning) };
}

async function openDevice(path: string, onWarning: OnWarning | undefined): Promise<ReadableDisk> {
  const addon = native();
  const opened = await addon
    .open(path, { write: false, direct: true, exclusive: false, create: false })
    .catch((cause: unknown) => Promise.reject(ioError('SOURCE_OPEN', path, cause)));
  const { fd, kind, sector } = opened;
  try {
    refuseOther(path, kind);
    if (opened.size === 0) throw new VdiStreamError('DISK_EMPTY', `${path} is empty`, { device: path });
    const size = roundUp(opened.size, SECTOR);
    if (size > opened.size) {
      const left = opened.size % SECTOR;
      onWarning?.({
        code: 'RAW_PADDED',
        message: `the last sector has only ${left} bytes; it is padded with zeros`,
        offset: size - SECTOR,
      });
    }
    const { during, end } = descriptorUse(() => new VdiStreamError('USAGE', `${path}: the disk is closed`, { device: path }));
    let open = true;
    return {
      name: path,
      size,
      align: sector,
      read: (into, offset) => during(() => guarded('SOURCE_READ', path, addon.read(fd, into, offset))),
      mayHold: (signal) => dataOf(path, opened, signal),
      version: () => versionOf(fd, kind),
      sharesBytesWith: sharing(fstatSync(fd)),
      async close() {
        if (!open) return;
        open = false;
        // An export that fails may have requested more than it used.
        await end();
        await addon.close(fd).catch(() => {}); // it was only read
      },
    };
  } catch (error) {
    await addon.close(fd).catch(() => {});
    throw error;
  }
}

/** Throws SOURCE_OPEN for anything that cannot be read at any place. */
export function refuseOther(path: string, kind: Opened['kind']): asserts kind is 'block' | 'file' {
  if (kind === 'other') throw new VdiStreamError('SOURCE_OPEN', `${path} is neither a block device nor a regular file`, { device: path });
}

/** A device has no holes that can be asked for, so all of it may hold data. */
export async function* dataOf(
  path: string,
  { fd, kind, size }: Pick<Opened, 'fd' | 'kind' | 'size'>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Range> {
  const addon = native();
  if (kind === 'block') {
    yield { offset: 0, length: size };
    return;
  }
  for (let at = 0; at < size; ) {
    throwIfCancelled(signal);
    const start = await guarded('SOURCE_READ', path, addon.seekData(fd, at));
    if (start >= size) return;
    // The file may be changed meanwhile; without progress this would not end.
    const end = Math.max(Math.min(size, await guarded('SOURCE_READ', path, addon.seekHole(fd, start))), start + 1);
    yield { offset: start, length: end - start };
    at = end;
  }
}

/** See `version` of ReadableDisk. */
export const versionOf = async (fd: number, kind: 'block' | 'file'): Promise<string | undefined> =>
  kind === 'file' ? fileVersion(fd) : deviceVersion(fstatSync(fd).rdev);

async function fileVersion(fd: number): Promise<string> {
  const { size, mtimeNs, ctimeNs } = fstatSync(fd, { bigint: true });
  return `${size} ${mtimeNs} ${ctimeNs}`;
}

/**
 * What was written to a device, as the kernel counts it (Documentation/block/stat.rst); of a partition, to its disk. What another host writes
 * to shared storage is not counted here. A device whose reads are not counted has no counters.
 */
async function deviceVersion(rdev: number): Promise<string | undefined> {
  const device = `/sys/dev/block/${deviceId(rdev)}`;
  const disk = (await kernelText(`${device}/partition`)) === '' ? device : `${device}/..`;
  const [reads = 0, , , , writes, , sectors, , , , , discards, , discarded] = (await kernelText(`${disk}/stat`))
    .trim()
    .split(/\s+/)
    .map(Number);
  return reads > 0 ? [writes, sectors, discards, discarded].join(' ') : undefined;
}
