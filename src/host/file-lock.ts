/** A lock on a target that is a file, so that it has one writer at a time. */

import { VdiStreamError } from '../errors.ts';
import { ioError, isErrno } from './errno.ts';
import type { Native } from './native.ts';

/** Held until `fd` is closed. Throws TARGET_BUSY if another process writes the file. A file system without locks refuses nobody. */
export async function lockFile(addon: Native, path: string, fd: number): Promise<void> {
  const locked = await addon.lock(fd).catch((cause: unknown) => {
    if (isErrno(cause, 'ENOLCK', 'ENOSYS', 'EOPNOTSUPP', 'EINVAL')) return 1;
    throw ioError('TARGET_OPEN', path, cause);
  });
  if (locked === 0) throw new VdiStreamError('TARGET_BUSY', `${path} is being written by another process`, { device: path });
}
