/** FileId: which file it is, whatever its names are. */

import type { Stats } from 'node:fs';

/**
 * Windows numbers files with 64 bits, and stat(2) rounds those to 53, so up to 2048 files may have one number: the time of creation, in
 * steps of 100 ns, is compared as well.
 */
export const fileId = ({ dev, ino, birthtimeMs }: Stats): string =>
  `file ${dev}:${ino}${Number.isSafeInteger(ino) ? '' : `:${birthtimeMs}`}`;
