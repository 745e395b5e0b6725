/**
 * Extent, Disk and what a decoder needs to make them: buffers from a pool.
 *
 * The extents of a disk cover [0, virtualSize) exactly: no byte twice, no byte never. Their order is free.
 */

import type { Warn } from './errors.ts';

/** One run of a disk. Offsets and lengths are bytes, multiples of 512. */
export type Extent = DataExtent | EmptyExtent;

export interface DataExtent {
  readonly kind: 'data';
  readonly offset: number;
  readonly length: number;
  /** `length` bytes, filled once `ready` resolves. They belong to a pool: call `release` when done, exactly once. */
  readonly bytes: Uint8Array;
  /** Reading from a file goes on in the background, several extents at a time. Rejects as the read did. */
  readonly ready: Promise<void>;
  release(): void;
}

export interface EmptyExtent {
  /** `zero`: present and all zero, so it overwrites a parent. `hole`: absent; a parent shows, else it reads as zero. */
  readonly kind: 'zero' | 'hole';
  readonly offset: number;
  readonly length: number;
}

/** A piece of the pool. `bytes` is aligned for O_DIRECT. */
export interface Lease {
  readonly bytes: Uint8Array;
  release(): void;
}

/** Where decoders get their memory. Waiting for a free buffer is what holds a fast source back. */
export interface Buffers {
  /** Size of each buffer in bytes, a multiple of 4096. */
  readonly size: number;
  acquire(signal?: AbortSignal): Promise<Lease>;
}

export type DiskType = 'fixed' | 'dynamic' | 'differencing';

/** A run of the disk that an image holds bytes for; what `vdistream info` draws. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** What is known of a disk before the first extent. Sizes in bytes. */
export interface DiskFacts {
  readonly type: DiskType;
  readonly virtualSize: number;
  /** Only block-based disks have one. */
  readonly blockSize: number | undefined;
  /** The four-letter application name of the footer, such as 'tap' or 'win'; absent while only the end would tell. */
  readonly creator: string | undefined;
  /** Bytes of the disk that the image holds, at block granularity. */
  readonly allocatedBytes: number;
  /** Ascending and merged. */
  allocated(): Iterable<Range>;
}

export interface Disk extends DiskFacts {
  /**
   * Streams the disk once, then reads the image to its end and compares what is there (footer, CRC, end of archive).
   * So a consumer that saw the last extent must still wait for the end of the iteration to know that all is well.
   */
  extents(buffers: Buffers, signal?: AbortSignal): AsyncIterable<Extent>;
  /** Goes to the end of the image without decoding, with the same final checks. Instead of `extents`. */
  skip(): Promise<void>;
}

export interface DecodeOptions {
  /** Called for what is odd but not wrong. */
  readonly warn?: Warn;
}
