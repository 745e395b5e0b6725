/** Disk: a virtual size, known first, then a stream of extents. What every format decodes to. */

import type { OnWarning } from '../warnings.ts';
import type { Buffers, Extent } from './extent.ts';

export type DiskType = 'fixed' | 'dynamic' | 'differencing' | 'raw';

/** [offset, offset + length) of a disk, bytes. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** Who a VHD says it is, in its footer. */
export interface Identity {
  /** The four-letter application name of the footer, such as 'tap' or 'win'. */
  readonly creator: string;
  /** 32 hexadecimal digits. */
  readonly uniqueId: string;
  /** Seconds since 2000-01-01 UTC. */
  readonly timestamp: number;
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
  /** A raw disk has none; that of a fixed VHD in a stream comes with its footer, at the end. */
  readonly identity: Identity | undefined;
  /** Only a differencing disk has one. */
  readonly parent: Parent | undefined;
  /** Bytes of the disk that the image holds, at block granularity. */
  readonly allocatedBytes: number;
  /** Where they lie: ascending and merged. What `vdistream info` draws. */
  allocated(): Iterable<Range>;
}

/** What of a range of the disk is of use: ascending, without overlap, within it. */
export type Wanted = (offset: number, length: number) => readonly Range[];

export interface ExtentOptions {
  readonly signal?: AbortSignal | undefined;
  /** What is not wanted need not be read; it comes as holes. All by default. */
  readonly wanted?: Wanted | undefined;
}

export interface Disk extends DiskFacts {
  /**
   * Streams the disk once, then reads the image to its end and compares what is there (footer, CRC, end of archive).
   * So a consumer that saw the last extent must still wait for the end of the iteration to know that all is well. Returns the identity,
   * which is known by then.
   */
  extents(buffers: Buffers, options?: ExtentOptions): AsyncGenerator<Extent, Identity | undefined, void>;
  /** Goes to the end of the image without decoding, with the same final checks. Instead of `extents`. */
  skip(): Promise<Identity | undefined>;
}

export interface DecodeOptions {
  /** Called for what is odd but not wrong. */
  readonly onWarning?: OnWarning | undefined;
}
