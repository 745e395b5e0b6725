/** A block device, a logical volume or a regular file as a target. */

import { unlink } from 'node:fs/promises';
import { checkOptions, checkPath } from '../arguments.ts';
import { MiB, roundUp } from '../bytes.ts';
import { type Guard, throwIfCancelled } from '../errors.ts';
import { guarded, ioError, isErrno } from '../host/errno.ts';
import { type Native, native, type Opened } from '../host/native.ts';
import { refuseServed, refuseSmall, refuseType, refuseUnopened, refuseVhd } from './guards.ts';
import type { Target, TargetOpener, TargetOptions } from './target.ts';

export interface DeviceOptions {
  /** The toolstack attached the device for this caller: a tapdisk that has it open serves no guest, and what it holds is an old owner's. */
  readonly attached?: boolean | undefined;
  /** Everything that was never written reads as zero. */
  readonly readsZero?: boolean | undefined;
}

/**
 * Opening runs the guards in this order: type, busy, size, vhd, all before a byte is written. Throws their errors (exit status 3) or
 * TARGET_OPEN. Creates a file that does not exist.
 */
export function deviceTarget(path: string, options: DeviceOptions = {}): TargetOpener {
  checkPath('deviceTarget', 'the path', path);
  checkOptions('deviceTarget', options);
  return { name: path, path, open: (how) => openDevice(path, options, how) };
}

async function openDevice(path: string, device: DeviceOptions, { size, force, onWarning, purpose }: TargetOptions): Promise<Target> {
  const addon = native();
  const forced = (guard: Guard): boolean => force?.includes(guard) === true;
  const write = purpose !== 'compare';

  const { opened, created } = await open(addon, path, write, write && !forced('busy'));
  try {
    if (!forced('type')) refuseType(path, opened);
    if (write) {
      if (!forced('busy')) await refuseServed(path, opened, device.attached === true);
      // A file can grow, a device cannot.
      if (!forced('size') && opened.kind !== 'file') refuseSmall(path, opened.size, size);
      if (!forced('vhd')) await refuseVhd(path, opened, addon);
    } else if (!forced('size')) {
      refuseSmall(path, opened.size, size);
    }
    if (opened.kind === 'file' && !opened.direct) {
      onWarning?.({
        code: 'TARGET_BUFFERED',
        message: `${path}: the file system does not support O_DIRECT; using synchronous buffered writes`,
      });
    }
    return await targetOf(addon, { path, opened, created, wanted: write ? size : 0, readsZero: device.readsZero === true });
  } catch (error) {
    await addon.close(opened.fd).catch(() => {});
    if (created) await unlink(path).catch(() => {});
    throw error;
  }
}

async function open(addon: Native, path: string, write: boolean, exclusive: boolean): Promise<{ opened: Opened; created: boolean }> {
  try {
    return { opened: await addon.open(path, { write, direct: true, exclusive, create: false }), created: false };
  } catch (cause) {
    refuseUnopened(path, cause);
    if (!write || !isErrno(cause, 'ENOENT') || path.startsWith('/dev/')) throw ioError('TARGET_OPEN', path, cause);
  }
  // The file does not exist, so it is created. Not in /dev: there a missing node is a mistake, and a file would fill memory.
  try {
    return { opened: await addon.open(path, { write, direct: true, exclusive: true, create: true }), created: true };
  } catch (cause) {
    throw ioError('TARGET_OPEN', path, cause);
  }
}

interface OpenDevice {
  readonly path: string;
  readonly opened: Opened;
  /** Whether this run created the file. */
  readonly created: boolean;
  /** Bytes that a file must have. */
  readonly wanted: number;
  readonly readsZero: boolean;
}

async function targetOf(addon: Native, { path, opened, created, wanted, readsZero }: OpenDevice): Promise<Target> {
  const { fd, sector, direct } = opened;
  const isFile = opened.kind === 'file';
  // The final size of a file. Until `close` it has a whole last sector, since O_DIRECT cannot write a partial one.
  const fileSize = Math.max(opened.size, wanted);
  const grows = isFile && wanted > 0;
  if (grows) await guarded('TARGET_WRITE', path, addon.truncate(fd, roundUp(fileSize, sector)));
  let closed = false;

  async function close(): Promise<void> {
    if (closed) return;
    closed = true;
    try {
      if (grows && fileSize % sector !== 0) {
        await guarded('TARGET_SYNC', path, addon.truncate(fd, fileSize));
        await guarded('TARGET_SYNC', path, addon.sync(fd));
      }
    } finally {
      await guarded('TARGET_SYNC', path, addon.close(fd));
    }
  }

  return {
    name: path,
    size: isFile ? roundUp(fileSize, sector) : opened.size,
    align: sector,
    readsZero: readsZero || (grows && opened.size === 0),
    direct,
    write: (bytes, offset, sums) => guarded('TARGET_WRITE', path, addon.write(fd, bytes, offset, sums)),
    read: (into, offset, sums) => guarded('TARGET_READ', path, addon.read(fd, into, offset, sums)),
    zero: zeroing(addon, path, fd),
    sync: () => guarded('TARGET_SYNC', path, addon.sync(fd)),
    close,
    async abandon() {
      await close().catch(() => {});
      if (created) await unlink(path).catch(() => {});
    },
  };
}

/** Bytes per zeroing call. Less if the call may write zeros, so that Ctrl-C does not have to wait. */
const CHEAP_STEP = 4096 * MiB;
const COSTLY_STEP = 32 * MiB;

/** The zeroing cascade of the addon. If one range refuses a method, all do, so it is not tried again. */
function zeroing(addon: Native, path: string, fd: number): Target['zero'] {
  const writing = addon.zeroMethods.indexOf('write');
  const lastCheap = addon.zeroMethods.indexOf('zero-range');
  let method = 0;
  return async (offset, length, how, signal) => {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      throwIfCancelled(signal);
      const first = how === 'write' ? writing : method;
      const step = Math.min(end - at, first <= lastCheap ? CHEAP_STEP : COSTLY_STEP);
      const used = await guarded('TARGET_WRITE', path, addon.zero(fd, at, step, first));
      if (how === 'cheapest') method = Math.max(method, used);
      at += step;
    }
  };
}
