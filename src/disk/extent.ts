/**
 * Extent, Disk and what a decoder needs to make them: buffers from a pool.
 *
 * The extents of a disk cover [0, virtualSize) exactly: no byte twice, no byte never. Their order is free. Only an extent that
 * says it `overwrites` covers bytes again, in a chain whose archive holds a parent in front of its child.
 */

import type { OnWarning } from '../warnings.ts';

/** One run of a disk. Offsets and lengths are bytes, multiples of 512. */
export type Extent = DataExtent | EmptyExtent;

export interface DataExtent {
  readonly kind: 'data';
  readonly offset: number;
  readonly length: number;
  /** A deeper layer of a chain has given data for this range before: see `overlay.ts`. */
  readonly overwrites?: boolean;
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
  readonly overwrites?: boolean;
}

/**
 * Gives back the buffer of an extent that nobody writes. The read may still be filling it, so it must not be lent again
 * before that has ended.
 */
export function discard(extent: Extent): void {
  if (extent.kind !== 'data') return;
  const release = (): void => extent.release();
  extent.ready.then(release, release);
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

export type DiskType = 'fixed' | 'dynamic' | 'differencing' | 'raw';

/** A run of the disk that an image holds bytes for; what `vdistream info` draws. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/**
 * Who a VHD says it is. The footer of a fixed disk in a stream goes by last, so the fields may come late: keep the object and
 * read it when the disk has been.
 */
export interface Identity {
  /** The four-letter application name of the footer, such as 'tap' or 'win'. */
  creator?: string;
  /** 32 hexadecimal digits. */
  uniqueId?: string;
  /** Seconds since 2000-01-01 UTC. */
  timestamp?: number;
}

/** What a differencing VHD says of its parent. The name is for showing; it is stale as a rule, and is never opened. */
export interface Parent {
  readonly uniqueId: string;
  readonly timestamp: number;
  readonly name: string;
}

/** What is known of a disk before the first extent. Sizes in bytes. */
export interface DiskFacts {
  readonly type: DiskType;
  readonly virtualSize: number;
  /** Only block-based disks have one. */
  readonly blockSize: number | undefined;
  readonly identity: Identity;
  /** Only a differencing disk has one. */
  readonly parent: Parent | undefined;
  /** Bytes of the disk that the image holds, at block granularity. */
  readonly allocatedBytes: number;
  /** Ascending and merged. */
  allocated(): Iterable<Range>;
}

/** What of a range of the disk is of use: ascending, without overlap, within it. */
export type Wanted = (offset: number, length: number) => readonly Range[];

export interface Disk extends DiskFacts {
  /**
   * Streams the disk once, then reads the image to its end and compares what is there (footer, CRC, end of archive).
   * So a consumer that saw the last extent must still wait for the end of the iteration to know that all is well.
   *
   * What is not `wanted` need not be read; it comes as holes.
   */
  extents(buffers: Buffers, signal?: AbortSignal, wanted?: Wanted): AsyncIterable<Extent>;
  /** Goes to the end of the image without decoding, with the same final checks. Instead of `extents`. */
  skip(): Promise<void>;
}

export interface DecodeOptions {
  /** Called for what is odd but not wrong. */
  readonly onWarning?: OnWarning | undefined;
}
