/** A disk as a target that an image is compared with, and that is never written. */

import type { DiskOpener, ReadableDisk } from '../disk/readable.ts';
import { assert, VdiStreamError } from '../errors.ts';
import type { Target, TargetOpener } from '../target/target.ts';

/** Closing the target leaves the disk open. */
export function comparable(disk: ReadableDisk): Target {
  const { name, size, align } = disk;
  const neverWritten = async (): Promise<void> => assert(false, 'a disk that is compared is never written');
  return {
    name,
    size,
    align,
    readsZero: false,
    direct: true,
    read: (into, offset) => disk.read(into, offset),
    write: neverWritten,
    zero: neverWritten,
    sync: neverWritten,
    close: async () => {},
    abandon: async () => {},
  };
}

/** Opening it to write throws USAGE. */
export const comparableTarget = (opener: DiskOpener): TargetOpener => ({
  name: opener.name,
  async open({ size, force = [], signal, onWarning, purpose }) {
    if (purpose !== 'compare')
      throw new VdiStreamError('USAGE', `${opener.name} is only read: an image can be compared with it, not written`);
    const disk = await opener.open({ signal, onWarning });
    const close = (): Promise<void> => disk.close();
    if (disk.size >= size || force.includes('size')) return { ...comparable(disk), close, abandon: close };
    await close();
    throw new VdiStreamError('TARGET_SMALL', `${disk.name} has ${disk.size} bytes, but the disk needs ${size}`, { device: disk.name });
  },
});
