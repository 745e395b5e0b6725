/** Verifying an export: its image is read back, and compared with the disks. */

import type { ReadableDisk } from '../disk/readable.ts';
import { assert } from '../errors.ts';
import type { Target, TargetOpener } from '../target/target.ts';
import type { ExportedDisk } from './export-options.ts';
import type { OnProgress } from './progress.ts';
import { verifyDisk } from './verify.ts';

interface VerifyExportOptions {
  readonly raw: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** Throws VERIFY_MISMATCH, and what reading the image throws. */
export async function verifyExport(
  image: string,
  disks: readonly ReadableDisk[],
  exported: readonly ExportedDisk[],
  { raw, signal, onProgress }: VerifyExportOptions,
): Promise<void> {
  for (const [index, disk] of disks.entries()) {
    await verifyDisk(image, comparable(disk), { disk: exported[index]?.member, raw, signal, onProgress });
  }
}

/** A disk as the target that an image is compared with. */
function comparable(disk: ReadableDisk): TargetOpener {
  const { name, size, align } = disk;
  const neverWritten = async (): Promise<void> => assert(false, 'a disk that is exported is never written');
  const target: Target = {
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
  return { name, open: async () => target };
}
