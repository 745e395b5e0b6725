/** Targets for the fault matrix. What a file system lacks is refused by faults.c, as the kernel would refuse it. */

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { testFolder } from './folder.ts';
import { loopDevice } from './loop.ts';
import { tinyFolder } from './tiny-folder.ts';

export const MIB = 1 << 20;
/** Of the disk that is written. */
export const SIZE = 24 * MIB;

export interface Place {
  readonly target: string;
  /** Part of the paths that faults concern. */
  readonly path: string;
  /** The calls that a write makes here. Any other is no cell. */
  readonly calls: readonly string[];
  /** Those of them that Node makes, and repeats for as long as they are interrupted (libuv, uv__fs_work). */
  readonly repeated: readonly string[];
  /** Rules of faults.c that hold in every run: the calls that they concern always fail. */
  readonly lacks: readonly string[];
  /** As before a write. */
  prepare(): void;
  content(): Buffer;
  /** Files next to the target, hidden ones too. */
  others(): readonly string[];
  /** Whether the target exists. */
  exists(): boolean;
  end(): void;
}

const EPERM = 1;
const EINVAL = 22;
const EOPNOTSUPP = 95;

const ALWAYS = ['open', 'read', 'write', 'sync', 'close', 'map', 'thread'];
const NEW_FILE = [...ALWAYS, 'truncate', 'lock', 'link', 'unlink'];

interface FileOptions {
  readonly calls: readonly string[];
  readonly repeated?: readonly string[];
  readonly lacks?: readonly string[];
  /** What the target holds before. */
  readonly before?: Buffer;
}

function filePlace(folder: string, { calls, repeated = [], lacks = [], before }: FileOptions): Place {
  const place = join(folder, 'targets');
  const target = join(place, 'disk.raw');
  return {
    target,
    path: place,
    calls,
    repeated,
    lacks,
    prepare() {
      rmSync(place, { recursive: true, force: true });
      mkdirSync(place);
      if (before !== undefined) writeFileSync(target, before);
    },
    content: () => readFileSync(target),
    others: () => readdirSync(place).filter((name) => name !== 'disk.raw'),
    exists: () => readdirSync(place).includes('disk.raw'),
    end() {},
  };
}

function loopPlace(sector: 512 | 4096): Place {
  const device = loopDevice({ size: SIZE, sector, fill: 0x5a });
  const stale = Buffer.alloc(SIZE, 0x5a);
  return {
    target: device.path,
    path: device.path,
    calls: [...ALWAYS, 'zero'],
    repeated: [],
    lacks: [],
    prepare: () => device.write(0, stale),
    content: () => device.read(0, SIZE),
    others: () => [],
    exists: () => true,
    end: () => device.detach(),
  };
}

/** Longer than the disk, and full of old data but for its ends, which a guard looks at. */
function oldFile(): Buffer {
  const bytes = Buffer.alloc(SIZE + 8192);
  return bytes.fill(0x5a, 2 * MIB, SIZE - 2 * MIB);
}

const NEW = { calls: NEW_FILE, repeated: ['unlink'] };

export const PLACES: Readonly<Record<string, () => Place>> = {
  'a new file': () => filePlace(testFolder(), NEW),
  'an existing file': () => filePlace(testFolder(), { calls: [...ALWAYS, 'zero', 'truncate', 'lock'], before: oldFile() }),
  'a file on tmpfs': () => filePlace(tinyFolder(4 * SIZE).path, NEW),
  'a file without O_DIRECT': () =>
    filePlace(testFolder(), { calls: [...NEW_FILE, 'advise'], repeated: ['unlink'], lacks: [`direct:${EINVAL}:1:0`] }),
  'a file without O_TMPFILE': () =>
    filePlace(testFolder(), { calls: NEW_FILE, repeated: ['link', 'unlink'], lacks: [`unnamed:${EOPNOTSUPP}:1:0`] }),
  'a file without O_TMPFILE and hard links': () =>
    filePlace(testFolder(), {
      calls: [...NEW_FILE.filter((call) => call !== 'link' && call !== 'unlink'), 'rename'],
      repeated: ['rename'],
      lacks: [`unnamed:${EOPNOTSUPP}:1:0`, `link:${EPERM}:1:0`],
    }),
  'a loop device with 512-byte sectors': () => loopPlace(512),
  'a loop device with 4096-byte sectors': () => loopPlace(4096),
};
