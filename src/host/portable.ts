/** Portable: what the addon does, by `node:fs`, for files only. The counterpart of the addon on a system that has none. */

import type { OpenFlags } from './opened.ts';
import { closeFile, link, seekData, seekHole, sync, truncate, uncache } from './portable-descriptor.ts';
import { openPortable } from './portable-file.ts';
import { readWhole, writeWhole, ZERO_METHODS, zeroRange } from './portable-io.ts';
import { lock } from './portable-lock.ts';
import { firstDifference, firstNonZero, zeroRuns } from './portable-scan.ts';
import { addSums, takeSums } from './portable-sums.ts';
import { systemError } from './system-error.ts';

/** Of no alignment, which only O_DIRECT needs. Throws ENOMEM. */
function unalignedMemory(length: number): ArrayBuffer {
  try {
    return new ArrayBuffer(length);
  } catch (cause) {
    throw systemError('ENOMEM', 'allocate', { cause });
  }
}

/** `missing`: why there is no addon, for whoever needs it. */
export const createPortable = (missing: string) => ({
  allocate: unalignedMemory,
  open: (path: string, flags: OpenFlags) => openPortable(path, flags, missing),
  close: closeFile,
  sync,
  truncate,
  link,
  lock,
  seekData,
  seekHole,
  uncache,
  read: readWhole,
  write: writeWhole,
  zero: zeroRange,
  zeroMethods: ZERO_METHODS,
  zeroRuns,
  firstDifference,
  firstNonZero,
  addSums,
  takeSums,
});
