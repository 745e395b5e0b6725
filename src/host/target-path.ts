/** TargetPath: what a path names, found out without opening it: opening can already rewind a tape, or end the reader of a FIFO. */

import type { Stats } from 'node:fs';
import { lstat, realpath, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { VdiStreamError } from '../errors.ts';
import { codeOf, ioError } from './errno.ts';

export interface TargetPath {
  readonly path: string;
  /** `missing`: a file that can be created. `other`: neither a block device nor a regular file. */
  readonly kind: 'block' | 'file' | 'missing' | 'other';
  /** For people: "a directory". */
  readonly what: string;
  /** Undefined if it is missing. */
  readonly found: Stats | undefined;
}

/** Throws TARGET_OPEN for a path that names nothing and at which no file may be created. */
export async function targetPath(path: string): Promise<TargetPath> {
  let found: Stats;
  try {
    found = await stat(path);
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw ioError('TARGET_OPEN', path, cause);
    await refuseToCreate(path, cause);
    return { path, kind: 'missing', what: 'a new file', found: undefined };
  }
  if (found.isBlockDevice()) return { path, kind: 'block', what: 'a block device', found };
  const what = await unusual(path, found);
  return { path, kind: what === undefined ? 'file' : 'other', what: what ?? 'a regular file', found };
}

/** What it is, unless it is an ordinary file. */
async function unusual(path: string, found: Stats): Promise<string | undefined> {
  if (found.isDirectory()) return 'a directory';
  if (found.isFIFO()) return 'a FIFO';
  if (found.isSocket()) return 'a socket';
  if (found.isCharacterDevice()) return 'a character device';
  if (OF_KERNEL.has((await statfs(path)).type)) return 'a file of the kernel';
  if (await isInDev(path)) return 'a regular file among the device nodes';
  return undefined;
}

async function refuseToCreate(path: string, cause: unknown): Promise<void> {
  const link = await lstat(path).catch(() => undefined);
  if (link !== undefined)
    throw new VdiStreamError('TARGET_OPEN', `${path} is a symbolic link to a path that does not exist`, { device: path });
  if (path.endsWith('/') || path.endsWith(sep)) throw ioError('TARGET_OPEN', path, cause);
  // A missing node is a mistake, and a file would fill memory.
  if (await isInDev(path)) throw new VdiStreamError('TARGET_OPEN', `there is no device ${path}`, { device: path, errno: 2, cause });
}

/**
 * Whether the folder of a path is on the file system of the device nodes, by any spelling. File systems mounted below, such as /dev/shm,
 * are ordinary.
 */
async function isInDev(path: string): Promise<boolean> {
  const file = await realpath(path).catch(async () => join(await realpath(dirname(path)).catch(() => '/'), basename(path)));
  const [root, dev, parent] = await Promise.all(['/', '/dev', dirname(file)].map((folder) => stat(folder).catch(() => undefined)));
  if (dev === undefined || dev.dev !== parent?.dev) return false;
  // A container may have /dev on the file system of everything else.
  return dev.dev !== root?.dev || file.startsWith('/dev/');
}

/** File systems that show the state of the kernel as files (include/uapi/linux/magic.h, and those that define their own). */
const OF_KERNEL: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs and configfs
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0xf97cff8c, // selinuxfs
  0x43415d53, // smackfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0xcafe4a11, // bpf
  0x6165676c, // pstore
  0xde5e81e4, // efivarfs
  0x42494e4d, // binfmt_misc
  0x65735543, // fusectl
  0x6e736673, // nsfs
  0x1cd1, // devpts
  0x19800202, // mqueue
  0xabba1974, // xenfs
]);
