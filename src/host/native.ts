/**
 * Loads the native addon, a prebuilt binary from the package or the build of a checkout, and declares the types of its calls.
 */

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { VdiStreamError } from '../errors.ts';

/** What the kernel reports about an opened device or file. Sizes in bytes. */
export interface Opened {
  readonly fd: number;
  readonly kind: 'block' | 'file' | 'other';
  /** False if O_DIRECT was requested but the file system does not support it. */
  readonly direct: boolean;
  readonly size: number;
  /** The smallest unit of O_DIRECT I/O. */
  readonly sector: number;
  readonly major: number;
  readonly minor: number;
}

interface OpenFlags {
  readonly write: boolean;
  readonly direct: boolean;
  /** O_EXCL on a block device: fails with EBUSY if it is mounted or in use. */
  readonly exclusive: boolean;
  /** Creates a new file; fails with EEXIST if there is one. */
  readonly create: boolean;
  /** Creates a file without a name in the folder `path`; EOPNOTSUPP, EISDIR or ENOENT if the file system has none. */
  readonly unnamed?: boolean;
}

/** The result of one call of `Inflater.run`. */
interface Inflated {
  readonly consumed: number;
  readonly produced: number;
  /** The gzip member is complete, and its CRC and length are right. */
  readonly ended: boolean;
  /** Why the data cannot be inflated. */
  readonly message?: string;
}

export interface Inflater {
  /** Call it once at a time; both arrays are in use until it settles. */
  run(input: Uint8Array, output: Uint8Array): Promise<Inflated>;
  /** Before the next gzip member. */
  reset(): void;
}

/** One checksum per 2 MiB of disk (see native/sums.cc). */
export type Sums = BigUint64Array;

/**
 * Lengths and offsets in bytes. Errors carry `errno`, `operation` and `offset`; see `ioError` in `errno.ts`. A wrong argument throws a
 * TypeError or a RangeError. An array that a promise is pending for must not be detached: Node-API cannot prevent that.
 */
export interface Native {
  /** Throws ENOMEM; call `allocate` in `memory.ts`. */
  allocate(length: number): ArrayBuffer;
  open(path: string, flags: OpenFlags): Promise<Opened>;
  close(fd: number): Promise<void>;
  sync(fd: number): Promise<void>;
  truncate(fd: number, length: number): Promise<void>;
  /** Gives a file opened as `unnamed` its name; fails with EEXIST if that is taken. */
  link(fd: number, path: string): Promise<void>;
  /** Locks the whole file until `fd` is closed (shared if `fd` is only readable). 0 if another open file holds a conflicting lock. */
  lock(fd: number): Promise<0 | 1>;
  /** The next byte from `offset` on that is data, or a hole; the end of the file if there is none. All is data if the file system has no holes. */
  seekData(fd: number, offset: number): Promise<number>;
  seekHole(fd: number, offset: number): Promise<number>;
  /** Drops a range from the page cache, and resolves with the number of pages that stayed; `offset` is a multiple of 4096. */
  uncache(fd: number, offset: number, length: number): Promise<number>;
  read(fd: number, into: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  write(fd: number, bytes: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  /** Tries the methods of the cascade from `method` on, and resolves with the one that worked. */
  zero(fd: number, offset: number, length: number, method: number): Promise<number>;
  readonly zeroMethods: readonly string[];
  /** [start, end, …] of each run of zero grains. */
  zeroRuns(bytes: Uint8Array, grain: number): number[];
  firstDifference(a: Uint8Array, b: Uint8Array): number;
  firstNonZero(bytes: Uint8Array): number;
  addSums(sums: Sums, bytes: Uint8Array, offset: number): void;
  /** Subtracts what `addSums` or a write has added. */
  takeSums(sums: Sums, bytes: Uint8Array, offset: number): void;
  readonly Inflater: new () => Inflater;
}

let loaded: Native | undefined;

/** Throws NATIVE_MISSING. */
export function native(): Native {
  loaded ??= load();
  return loaded;
}

function load(): Native {
  const require = createRequire(import.meta.url);
  const root = new URL('../../', import.meta.url);
  // The build of a checkout first: if both exist, it is the newer one.
  const places = ['build/Release/vdistream.node', `prebuilds/${process.platform}-${process.arch}.node`];
  const reasons: string[] = [];
  for (const place of places) {
    try {
      const addon: Native = require(fileURLToPath(new URL(place, root)));
      if (addon.Inflater === undefined) throw new Error('this build of Node does not export its zlib');
      return addon;
    } catch (error) {
      reasons.push(`${place}: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}`);
    }
  }
  throw new VdiStreamError('NATIVE_MISSING', `no native addon for ${process.platform}-${process.arch}: ${reasons.join('; ')}`);
}
