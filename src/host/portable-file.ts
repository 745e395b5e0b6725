/** PortableFile: opening a file by `node:fs` in the place of the addon. A block device needs the addon. */

import { close, constants, fstat, open, type Stats, stat } from 'node:fs';
import { promisify } from 'node:util';
import { VdiStreamError } from '../errors.ts';
import type { Opened, OpenFlags } from './opened.ts';
import { markReader } from './portable-lock.ts';
import { operationError, systemError } from './system-error.ts';

const calls = { close: promisify(close), fstat: promisify(fstat), open: promisify(open), stat: promisify(stat) };

/** Through the page cache, and never without a name. Throws NATIVE_MISSING, with `missing`, for a block device. */
export async function openPortable(path: string, { write, create, unnamed = false }: OpenFlags, missing: string): Promise<Opened> {
  if (unnamed) throw systemError('EOPNOTSUPP', 'open');
  try {
    // Opening a device can already rewind a tape.
    if (!create) refuseDevice(path, await calls.stat(path), missing);
    const fd = await calls.open(path, modeOf(write, create), 0o644);
    try {
      const found = await calls.fstat(fd);
      refuseDevice(path, found, missing);
      if (!write) markReader(fd);
      return { fd, kind: found.isFile() ? 'file' : 'other', direct: false, size: found.size, sector: 512, major: 0, minor: 0 };
    } catch (error) {
      await calls.close(fd);
      throw error;
    }
  } catch (cause) {
    throw cause instanceof VdiStreamError ? cause : operationError('open', cause);
  }
}

/** O_NONBLOCK, which Windows does not have: opening a FIFO must not wait for its other end. */
function modeOf(write: boolean, create: boolean): number {
  const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK = 0 } = constants;
  return (write ? O_RDWR : O_RDONLY) | O_NONBLOCK | (create ? O_CREAT | O_EXCL : 0);
}

function refuseDevice(path: string, found: Stats, missing: string): void {
  if (!found.isBlockDevice()) return;
  throw new VdiStreamError('NATIVE_MISSING', `${path} is a block device, which only the addon can use, and there is ${missing}`, {
    device: path,
  });
}
