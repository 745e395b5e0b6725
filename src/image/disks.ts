/** The disks of an export: devices, raw files and VHD chains, opened for reading at any place. */

import type { DiskOpener, ReadableDisk } from '../disk/readable.ts';
import { afterCleanUp, leftOf, withLeft } from '../errors.ts';
import { deviceDisk } from '../source/device-disk.ts';
import type { OnWarning } from '../warnings.ts';

interface DisksOptions {
  /** Everything is raw, whatever it begins with. */
  readonly raw: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: OnWarning | undefined;
}

/** The caller closes them. */
export async function openDisks(sources: ReadonlyArray<string | DiskOpener>, { signal, onWarning }: DisksOptions): Promise<ReadableDisk[]> {
  const disks: ReadableDisk[] = [];
  try {
    for (const source of sources) {
      const opener = typeof source === 'string' ? deviceDisk(source) : source;
      disks.push(await opener.open({ signal, onWarning }));
    }
    return disks;
  } catch (error) {
    throw await afterCleanUp(error, () => closeDisks(disks));
  }
}

/** Throws the first error, with what closing all of them could not undo. */
export async function closeDisks(disks: readonly ReadableDisk[]): Promise<void> {
  const outcomes = await Promise.allSettled(disks.map((disk) => disk.close()));
  const [failure, ...more] = outcomes.filter((outcome) => outcome.status === 'rejected');
  if (failure !== undefined)
    throw withLeft(
      failure.reason,
      more.flatMap(({ reason }) => leftOf(reason)),
    );
}
