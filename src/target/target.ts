/**
 * Target: where the sectors of a disk go. Offsets and lengths are bytes, multiples of `align`; memory comes from the pool,
 * which is aligned too.
 */

import { unlink } from 'node:fs/promises';
import { MiB, roundUp } from '../bytes.ts';
import { type Guard, throwIfCancelled } from '../errors.ts';
import { guarded, ioError, isErrno } from '../host/errno.ts';
import { type Native, native, type Opened, type Sums } from '../host/native.ts';
import type { OnWarning } from '../warnings.ts';
import { refuseServed, refuseSmall, refuseType, refuseUnopened, refuseVhd } from './guards.ts';

export interface Target {
  /** The path, or `null:`. */
  readonly path: string;
  readonly kind: 'block' | 'file' | 'null' | 'other';
  /** Bytes; Infinity for `null:`. */
  readonly size: number;
  /** The smallest unit that can be written, bytes. */
  readonly align: number;
  /** Whether everything that has not been written is known to read as zero. */
  readonly readsZero: boolean;
  /** Whether writes go past the page cache. */
  readonly direct: boolean;
  /** Resolves when the device has taken the bytes. With `sums`, adds their checksums. Throws TARGET_WRITE or TARGET_FULL. */
  write(bytes: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  /** Makes a range read as zero: by the cheapest call that the target takes, or by writing. */
  zero(offset: number, length: number, how: 'cheapest' | 'write', signal?: AbortSignal): Promise<void>;
  /** Fills `into`. With `sums`, adds the checksums of what was read. Throws TARGET_READ. */
  read(into: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  /** Everything written is on the medium once this resolves. Throws TARGET_SYNC. */
  sync(): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
  /** Closes, and removes a file that this run has made: half a disk must not pass for one. Never throws. */
  abandon(): Promise<void>;
}

export interface TargetOptions {
  /** Virtual size of the disk that is going to be written, bytes. A file is made or grown to it. */
  readonly size: number;
  /** Guards to lift, by name. */
  readonly force?: readonly Guard[] | undefined;
  readonly onWarning?: OnWarning | undefined;
  /** Only to compare: nothing is made, no guard against overwriting is asked. */
  readonly readOnly?: boolean | undefined;
  /** The caller has had the device attached for this, so that a tapdisk which has it open serves nobody else. */
  readonly attached?: boolean | undefined;
}

/** The name of the target that swallows everything. */
export const NULL_TARGET = 'null:';

/** A cheap zeroing call may cover this much; one that may turn into writes only so much, or Ctrl-C would have to wait. */
const CHEAP_STEP = 4096 * MiB;
const COSTLY_STEP = 32 * MiB;
const ZERO_RANGE = 1;
const WRITE_ZEROS = 3;

/**
 * Opens a block device, a logical volume or a regular file, after the guards: type, busy, size, vhd, in this order, each
 * before a byte is written. Throws their errors (exit status 3) or TARGET_OPEN.
 */
export async function openTarget(path: string, options: TargetOptions): Promise<Target> {
  if (path === NULL_TARGET) return nullTarget();
  const addon = native();
  const forced = (guard: Guard): boolean => options.force?.includes(guard) === true;
  const write = options.readOnly !== true;

  const found = await open(addon, path, write, write && !forced('busy'));
  const { opened, created } = found;
  try {
    if (!forced('type')) refuseType(path, opened);
    if (write) {
      if (!forced('busy')) await refuseServed(path, opened, options.attached === true);
      // A file grows; only a device has an end that cannot be moved.
      if (!forced('size') && opened.kind !== 'file') refuseSmall(path, opened.size, options.size);
      if (!forced('vhd')) await refuseVhd(path, opened, addon);
    } else if (!forced('size')) {
      refuseSmall(path, opened.size, options.size);
    }
    if (opened.kind === 'file' && !opened.direct) {
      options.onWarning?.({ code: 'TARGET_BUFFERED', message: `${path}: no O_DIRECT on this file system, writing synchronously instead` });
    }
    return await deviceTarget(path, opened, addon, write ? options.size : 0, created);
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
  // Not there, so a new file. Under /dev a missing node is a mistake, and a file there would fill memory.
  try {
    return { opened: await addon.open(path, { write, direct: true, exclusive: true, create: true }), created: true };
  } catch (cause) {
    throw ioError('TARGET_OPEN', path, cause);
  }
}

async function deviceTarget(path: string, opened: Opened, addon: Native, wanted: number, created: boolean): Promise<Target> {
  const { fd, sector, direct } = opened;
  const isFile = opened.kind === 'file';
  // What a file ends at. While it is written its last sector is whole, or O_DIRECT could not write it.
  const fileSize = Math.max(opened.size, wanted);
  const grows = isFile && wanted > 0;
  if (grows) await guarded('TARGET_WRITE', path, addon.truncate(fd, roundUp(fileSize, sector)));
  let method = 0;
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
    path,
    kind: opened.kind,
    size: isFile ? roundUp(fileSize, sector) : opened.size,
    align: sector,
    readsZero: grows && opened.size === 0,
    direct,
    write: (bytes, offset, sums) => guarded('TARGET_WRITE', path, addon.write(fd, bytes, offset, sums)),
    read: (into, offset, sums) => guarded('TARGET_READ', path, addon.read(fd, into, offset, sums)),
    async zero(offset, length, how, signal) {
      const end = offset + length;
      for (let at = offset; at < end; ) {
        throwIfCancelled(signal);
        const first = how === 'write' ? WRITE_ZEROS : method;
        const step = Math.min(end - at, first <= ZERO_RANGE ? CHEAP_STEP : COSTLY_STEP);
        const used = await guarded('TARGET_WRITE', path, addon.zero(fd, at, step, first));
        // Tried once and remembered: what one range refuses, all do.
        if (how === 'cheapest') method = Math.max(method, used);
        at += step;
      }
    },
    sync: () => guarded('TARGET_SYNC', path, addon.sync(fd)),
    close,
    async abandon() {
      await close().catch(() => {});
      if (created) await unlink(path).catch(() => {});
    },
  };
}

function nullTarget(): Target {
  return {
    path: NULL_TARGET,
    kind: 'null',
    size: Number.POSITIVE_INFINITY,
    align: 512,
    readsZero: true,
    direct: false,
    async write() {},
    async zero() {},
    async read(into) {
      into.fill(0);
    },
    async sync() {},
    async close() {},
    async abandon() {},
  };
}
