/** Verifying an export: its image is read back, and compared with the disks. */

import type { ReadableDisk } from '../disk/readable.ts';
import { comparable } from './comparable.ts';
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
    const target = { name: disk.name, open: async () => comparable(disk) };
    await verifyDisk(image, target, { disk: exported[index]?.member, raw, signal, onProgress });
  }
}
