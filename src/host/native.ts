/**
 * Native: the calls on devices, files and memory that the addon makes: a prebuilt binary from the package or the build of a checkout.
 * Where it cannot be loaded, its counterpart by `node:fs` does for files what the addon does for files and block devices.
 */

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { VdiStreamError } from '../errors.ts';
import type { Opened, OpenFlags } from './opened.ts';
import { createPortable } from './portable.ts';

/** The result of one call of `Inflater.run`. */
interface Inflated {
  readonly consumed: number;
  readonly produced: number;
  /** The deflate stream is complete. */
  readonly ended: boolean;
  /** The data cannot be inflated. */
  readonly damaged: boolean;
  /** CRC-32 of the output of a stream that has ended. */
  readonly crc: number;
}

/** Inflates raw deflate (RFC 1951). */
export interface Inflater {
  /** Call it once at a time; both arrays are in use until it settles. */
  run(input: Uint8Array, output: Uint8Array): Promise<Inflated>;
  /** Before the next stream. */
  reset(): void;
}

/** A hash, computed on a thread of its own. */
export interface Hasher {
  /** Call it once at a time; the array is in use until it settles. */
  update(bytes: Uint8Array): Promise<void>;
  /** In hexadecimal; nothing can be added afterwards. */
  digest(): string;
}

/** A stream of raw deflate: its length, and the CRC-32 of what was compressed. */
export interface Deflated {
  readonly produced: number;
  readonly crc: number;
}

/** The codecs of the addon by number; ISA-L only after `loadIsal`. */
export const CODECS = { zlib: 0, isal: 1 } as const;
type Codec = (typeof CODECS)[keyof typeof CODECS];

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
}

/** What only the addon has: hashes, inflating and deflating on threads of its own. Without it, `node:crypto` and `node:zlib` do that. */
interface Addon extends Native {
  readonly Inflater: new (codec: Codec) => Inflater;
  /** By OpenSSL's name of the hash; a RangeError if it has none. Undefined in a build of Node that does not export its OpenSSL. */
  readonly Hasher: (new (name: string) => Hasher) | undefined;
  /**
   * Inflates whole gzip members one after the other: `ranges` has the start and the end of the deflate data of each in `input`, as 32-bit
   * numbers, and the trailer follows it. Resolves with the number of members that are complete and match their trailers.
   */
  inflateMembers(codec: Codec, input: Uint8Array, output: Uint8Array, ranges: Uint8Array): Promise<number>;
  /** `level` from 1 to 9; `output` has room for five bytes more than `input` for each 65535 of it, and the last. */
  deflate(codec: Codec, level: number, input: Uint8Array, output: Uint8Array): Promise<Deflated>;
  /** Loads ISA-L from this path, or by name from where the system has it. Why it cannot be used, if so. */
  loadIsal(path: string): string | undefined;
}

interface LoadedAddon {
  readonly addon: Addon;
  /** The path of its file. */
  readonly from: string;
}

/** Or why it cannot be loaded. */
let loaded: LoadedAddon | string | undefined;

/** Throws NATIVE_MISSING. */
export function loadAddon(): LoadedAddon {
  loaded ??= load();
  if (typeof loaded === 'string') throw new VdiStreamError('NATIVE_MISSING', loaded);
  return loaded;
}

/** Undefined where it cannot be loaded. */
export function addonIfAny(): Addon | undefined {
  loaded ??= load();
  return typeof loaded === 'string' ? undefined : loaded.addon;
}

let counterpart: Native | undefined;

/** The addon, or its counterpart. */
export function native(): Native {
  const addon = addonIfAny();
  if (addon !== undefined) return addon;
  counterpart ??= createPortable(typeof loaded === 'string' ? loaded : '');
  return counterpart;
}

/** Set to 0, it makes this process work as on a system that has no addon. */
const SWITCH = 'VDISTREAM_NATIVE';

/** A file of the package or of the checkout. */
const inPackage = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

const PREBUILT = `prebuilds/${process.platform}-${process.arch}`;

function load(): LoadedAddon | string {
  if (process.env[SWITCH] === '0') return `no native addon: ${SWITCH}=0 switches it off`;
  const require = createRequire(import.meta.url);
  // The build of a checkout first: if both exist, it is the newer one.
  const places = ['build/Release/vdistream.node', `${PREBUILT}.node`];
  const reasons: string[] = [];
  for (const place of places) {
    try {
      const from = inPackage(place);
      const addon: Addon = require(from);
      if (addon.Inflater === undefined) throw new Error('this build of Node does not export its zlib');
      return { addon, from };
    } catch (error) {
      reasons.push(`${place}: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}`);
    }
  }
  return `no native addon for ${process.platform}-${process.arch}: ${reasons.join('; ')}`;
}

interface LoadedIsal {
  /** Where ISA-L was loaded from; undefined if it cannot be used. */
  readonly from?: string;
  /** Why it cannot be used. */
  readonly reason?: string;
}

let isal: LoadedIsal | undefined;

/** ISA-L: the copy in the package, else that of the system. Throws NATIVE_MISSING. */
export function loadIsal(): LoadedIsal {
  isal ??= findIsal(loadAddon().addon);
  return isal;
}

function findIsal(addon: Addon): LoadedIsal {
  const reasons: string[] = [];
  for (const from of [inPackage(`${PREBUILT}.libisal.so.2`), 'libisal.so.2']) {
    const reason = addon.loadIsal(from);
    if (reason === undefined) return { from };
    reasons.push(`${from}: ${reason}`);
  }
  return { reason: reasons.join('; ') };
}
