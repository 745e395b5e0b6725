/** Encoding a disk: the bytes of an image of it. The layout is decided, and its length known, before the first byte. */

import type { Chunks } from '../cursor.ts';
import type { Disk, Identity } from '../disk/disk.ts';
import type { Buffers } from '../disk/extent.ts';

/** Finds zeros. The addon has fast ones (`Native`). */
export interface ZeroScan {
  /** [start, end, …] of each run of zero grains; the last grain may be short. */
  zeroRuns(bytes: Uint8Array, grain: number): number[];
  /** -1 if all bytes are zero. */
  firstNonZero(bytes: Uint8Array): number;
}

export interface VhdLayoutOptions {
  readonly type: 'fixed' | 'dynamic';
  /** Bytes, a power of two from 4 KiB to 2 MiB, the default. */
  readonly blockSize?: number | undefined;
  /** 4096 places the BAT and the data of each block at multiples of 4096 bytes. 512, the default, leaves no gaps. */
  readonly align?: 512 | 4096 | undefined;
  readonly identity: Identity;
  readonly scan?: ZeroScan | undefined;
}

export interface EncodeOptions {
  readonly signal?: AbortSignal | undefined;
}

/** An image of a disk, as a stream of bytes. */
export interface EncodedDisk {
  /** Bytes of the image. */
  readonly length: number;
  /** The image. Call it once, as `Disk.extents`. A chunk is valid until the next one is requested. */
  bytes(buffers: Buffers, options?: EncodeOptions): Chunks;
}

export declare function encodeVhd(disk: Disk, options: VhdLayoutOptions): EncodedDisk;
export declare function encodeRaw(disk: Disk): EncodedDisk;
