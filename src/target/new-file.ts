/** A file that does not exist yet as a target. It appears under its name when it is closed: complete, and on the medium. */

import { roundUp } from '../bytes.ts';
import { guarded } from '../host/errno.ts';
import type { Native } from '../host/native.ts';
import { createFile } from '../host/new-file.ts';
import type { OnWarning } from '../warnings.ts';
import { warnIfBuffered } from './file.ts';
import { ioOf } from './io.ts';
import type { Target } from './target.ts';

interface NewTargetOptions {
  /** Bytes of the disk, and of the file in the end. */
  readonly size: number;
  readonly dryRun: boolean;
  readonly onWarning: OnWarning | undefined;
}

/** Throws TARGET_BUSY if another process is creating the same file. */
export async function newFile(addon: Native, path: string, { size: wanted, dryRun, onWarning }: NewTargetOptions): Promise<Target> {
  const file = await createFile(addon, path, { direct: true, dryRun });
  const { opened } = file;
  // Whole sectors until the file is closed, since O_DIRECT cannot write a partial one.
  const size = roundUp(wanted, opened.sector);
  let open = true;
  try {
    warnIfBuffered(path, opened, onWarning);
    await guarded('TARGET_WRITE', path, addon.truncate(opened.fd, size));
  } catch (error) {
    await file.close();
    throw error;
  }
  const { io, shut } = ioOf(addon, path, opened);
  async function end(finish: () => Promise<void>): Promise<void> {
    if (!open) return;
    open = false;
    await shut();
    try {
      await finish();
    } finally {
      await file.close();
    }
  }
  return {
    name: path,
    size,
    align: opened.sector,
    readsZero: true,
    direct: opened.direct,
    ...io,
    abandon: () => end(async () => {}),
    close: (final = wanted) => end(() => file.publish(final === size ? undefined : final)),
  };
}
