/** Io: the calls of a target that go straight to an open descriptor, until it is closed. */

import { statfs } from 'node:fs/promises';
import { MiB } from '../bytes.ts';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import { descriptorPath } from '../host/descriptor-path.ts';
import { descriptorUse } from '../host/descriptor-use.ts';
import { guarded } from '../host/errno.ts';
import type { Native } from '../host/native.ts';
import type { Opened } from '../host/opened.ts';
import type { Target } from './target.ts';

type Io = Pick<Target, 'write' | 'read' | 'zero' | 'sync' | 'uncache' | 'nextData'>;

interface OpenIo {
  readonly io: Io;
  /** From now on calls throw USAGE. Resolves when those in flight have settled. To be called before the descriptor is closed. */
  shut(): Promise<void>;
}

export function ioOf(addon: Native, path: string, { fd, direct }: Opened): OpenIo {
  const { during, end } = descriptorUse(() => new VdiStreamError('USAGE', `${path}: the target is closed`, { device: path }));
  const zero = zeroing(addon, path, fd);
  async function uncache(length: number): Promise<boolean> {
    return direct || (await isInMemory(fd)) || (await guarded('TARGET_READ', path, addon.uncache(fd, 0, length))) === 0;
  }
  return {
    io: {
      write: (bytes, offset, sums) => during(() => guarded('TARGET_WRITE', path, addon.write(fd, bytes, offset, sums))),
      read: (into, offset, sums) => during(() => guarded('TARGET_READ', path, addon.read(fd, into, offset, sums))),
      zero: (offset, length, how, signal) => during(() => zero(offset, length, how, signal)),
      sync: () => during(() => guarded('TARGET_SYNC', path, addon.sync(fd))),
      uncache: (length) => during(() => uncache(length)),
      nextData: (offset) => during(() => guarded('TARGET_READ', path, addon.seekData(fd, offset))),
    },
    shut: end,
  };
}

/** tmpfs and ramfs (include/uapi/linux/magic.h): their only medium is the page cache. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** As far as Linux says so. */
async function isInMemory(fd: number): Promise<boolean> {
  const path = await descriptorPath(fd);
  return path !== undefined && IN_MEMORY.has((await statfs(path)).type);
}

/** Bytes per zeroing call. Less if the call may write zeros, so that Ctrl-C does not have to wait. */
const CHEAP_STEP = 4096 * MiB;
const COSTLY_STEP = 32 * MiB;

/** The zeroing cascade of the addon. If one range refuses a method, all do, so it is not tried again. */
function zeroing(addon: Native, path: string, fd: number): Target['zero'] {
  const writing = addon.zeroMethods.indexOf('write');
  const lastCheap = addon.zeroMethods.indexOf('zero-range');
  let method = 0;
  return async (offset, length, how, signal) => {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      throwIfCancelled(signal);
      const first = how === 'write' ? writing : method;
      const step = Math.min(end - at, first <= lastCheap ? CHEAP_STEP : COSTLY_STEP);
      const used = await guarded('TARGET_WRITE', path, addon.zero(fd, at, step, first));
      if (how === 'cheapest') method = Math.max(method, used);
      at += step;
    }
  };
}
