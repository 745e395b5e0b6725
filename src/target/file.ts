/** An existing regular file as a target: written in place, under a lock, and in the end exactly as large as the disk. */

import { roundUp } from '../bytes.ts';
import { guarded } from '../host/errno.ts';
import { lockFile } from '../host/file-lock.ts';
import { addonIfAny, type Native } from '../host/native.ts';
import type { Opened } from '../host/opened.ts';
import type { OnWarning } from '../warnings.ts';
import { reopened } from './claim.ts';
import { ioOf } from './io.ts';
import type { Target, TargetOptions } from './target.ts';

interface FileOptions extends Pick<Required<TargetOptions>, 'purpose'> {
  readonly path: string;
  /** Bytes of the disk. */
  readonly wanted: number;
  /** Others may write the file too. */
  readonly shared: boolean;
}

/** `claim` is the file opened for reading, which is closed in any case: before the file is written, because its own lock is in the way. */
export async function fileTarget(addon: Native, claim: Opened, { path, wanted, purpose, shared }: FileOptions): Promise<Target> {
  const reads = { name: path, align: claim.sector, direct: claim.direct };
  if (purpose !== 'write') {
    const size = roundUp(purpose === 'compare' ? claim.size : wanted, claim.sector);
    const { io, shut } = ioOf(addon, path, claim);
    const close = closeOnce(addon, path, claim.fd, shut);
    return { ...reads, size, readsZero: claim.size === 0, ...io, close: () => close(), abandon: () => close().catch(() => {}) };
  }

  const opened = await reopened(addon, path, claim).finally(() => addon.close(claim.fd).catch(() => {}));
  try {
    if (!shared) await lockFile(addon, path, opened.fd);
    // Whole sectors until the file is closed, since O_DIRECT cannot write a partial one.
    const size = roundUp(wanted, opened.sector);
    if (opened.size < size) await guarded('TARGET_WRITE', path, addon.truncate(opened.fd, size));
    const { io, shut } = ioOf(addon, path, opened);
    const close = closeOnce(addon, path, opened.fd, shut);
    return {
      ...reads,
      size,
      readsZero: opened.size === 0,
      ...io,
      close: (final = wanted) => close(Math.max(opened.size, size) === final ? undefined : final),
      abandon: () => close().catch(() => {}),
    };
  } catch (error) {
    await addon.close(opened.fd).catch(() => {});
    throw error;
  }
}

/** Closes once; with a length, the file ends there, on the medium too. */
function closeOnce(addon: Native, path: string, fd: number, shut: () => Promise<void>): (length?: number) => Promise<void> {
  let open = true;
  return async (length) => {
    if (!open) return;
    open = false;
    await shut();
    try {
      if (length !== undefined) {
        await guarded('TARGET_SYNC', path, addon.truncate(fd, length));
        await guarded('TARGET_SYNC', path, addon.sync(fd));
      }
    } finally {
      await guarded('TARGET_SYNC', path, addon.close(fd));
    }
  };
}

/** Without the addon there is no O_DIRECT on any file system, so that is nothing to warn of. */
export function warnIfBuffered(path: string, { direct }: Opened, onWarning: OnWarning | undefined): void {
  if (direct || addonIfAny() === undefined) return;
  onWarning?.({
    code: 'TARGET_BUFFERED',
    message: `${path}: the file system does not support O_DIRECT; using synchronous buffered writes`,
  });
}
