/**
 * The one place that loads the native addon: a prebuilt binary from the package, or the one a checkout has built.
 * Also the one place that knows its calls, so the only one where `any` could hide; it is typed by hand instead.
 */

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { VdiStreamError } from '../errors.ts';

/** What `open` learned from the kernel. Sizes in bytes. */
export interface Opened {
  readonly fd: number;
  readonly kind: 'block' | 'file' | 'other';
  /** False where O_DIRECT was asked for and the file system refused it. */
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
  /** O_EXCL on a block device: fails with EBUSY while it is mounted or held. */
  readonly exclusive: boolean;
  /** Makes a new file; fails with EEXIST. */
  readonly create: boolean;
}

/** What one call of `Inflater.run` did. */
interface Inflated {
  readonly consumed: number;
  readonly produced: number;
  /** The gzip member is complete, its CRC and length have been checked. */
  readonly ended: boolean;
  /** Why the data cannot be inflated. */
  readonly message?: string;
}

export interface Inflater {
  /** One call at a time; both arrays stay in use until it settles. */
  run(input: Uint8Array, output: Uint8Array): Promise<Inflated>;
  /** Before the next gzip member. */
  reset(): void;
}

/** Checksums by 2 MiB of disk (see native/sums.cc). */
export type Sums = BigUint64Array;

/** Lengths and offsets in bytes. Rejections carry `errno`, `operation` and `offset`; see `ioError` in `errno.ts`. */
export interface Native {
  allocate(length: number): ArrayBuffer;
  open(path: string, flags: OpenFlags): Promise<Opened>;
  close(fd: number): Promise<void>;
  sync(fd: number): Promise<void>;
  truncate(fd: number, length: number): Promise<void>;
  read(fd: number, into: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  write(fd: number, bytes: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  /** Starts at `method` of the cascade and answers with the one that worked. */
  zero(fd: number, offset: number, length: number, method: number): Promise<number>;
  readonly zeroMethods: readonly string[];
  /** [start, end, …] of the runs of zero grains. */
  zeroRuns(bytes: Uint8Array, grain: number): number[];
  firstDifference(a: Uint8Array, b: Uint8Array): number;
  firstNonZero(bytes: Uint8Array): number;
  addSums(sums: Sums, bytes: Uint8Array, offset: number): void;
  /** Takes away what `addSums` or a write has added. */
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
  // A checkout's own build first: it is the newer one wherever both exist.
  const places = ['build/Release/vdistream.node', `prebuilds/${process.platform}-${process.arch}.node`];
  const reasons: string[] = [];
  for (const place of places) {
    try {
      const addon: Native = require(fileURLToPath(new URL(place, root)));
      if (addon.Inflater === undefined) throw new Error('this Node keeps its zlib to itself');
      return addon;
    } catch (error) {
      reasons.push(`${place}: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}`);
    }
  }
  throw new VdiStreamError('NATIVE_MISSING', `no native addon for ${process.platform}-${process.arch}: ${reasons.join('; ')}`);
}
