/** Disk: what every format decodes to. A virtual size, known up front, then a stream of extents. */

import type { OnWarning } from '../warnings.ts';
import type { Buffers, Extent } from './extent.ts';
import type { Tap } from './tap.ts';

export type DiskType = 'fixed' | 'dynamic' | 'differencing' | 'raw';

/** Bytes [offset, offset + length) of a disk. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** The identity of a VHD, from its footer. */
export interface Identity {
  /** The creator application, up to four letters, such as 'tap' or 'win'. */
  readonly creator: string;
  /** 32 hexadecimal digits. */
  readonly uniqueId: string;
  /** Seconds since 2000-01-01 UTC. */
  readonly timestamp: number;
}

/** What a differencing VHD records about its parent. The name is only for display; it is usually stale, and is never opened. */
export interface Parent {
  readonly uniqueId: string;
  readonly timestamp: number;
  readonly name: string;
}

/** What is known about a disk before the first extent. Sizes in bytes. */
export interface DiskFacts {
  readonly type: DiskType;
  readonly virtualSize: number;
  /** Undefined for a fixed VHD or a raw disk. */
  readonly blockSize: number | undefined;
  /** Undefined for a raw disk. For a fixed VHD in a stream it arrives with the footer, at the end. */
  readonly identity: Identity | undefined;
  /** Only of a differencing disk. */
  readonly parent: Parent | undefined;
  /** Bytes of the disk that the image holds, at block granularity. */
  readonly allocatedBytes: number;
  /** Where they are: ascending and merged. `vdistream info` draws this. */
  allocated(): Iterable<Range>;
}

/** The parts of a range of the disk that are needed: ascending, without overlap. */
export type Wanted = (offset: number, length: number) => readonly Range[];

export interface ExtentOptions {
  readonly signal?: AbortSignal | undefined;
  /** Parts that are not wanted may be skipped and returned as holes. By default everything is wanted. */
  readonly wanted?: Wanted | undefined;
  /** Gets the extents that it accepts, in their order. Those are not yielded. */
  readonly tap?: Tap | undefined;
}

/** What is known about a disk once it has been read to its end. */
export interface DiskEnd {
  readonly identity: Identity | undefined;
  /**
   * Bytes. Less than the `virtualSize` before if zeros precede the footer of a fixed VHD in a stream: its length was taken for the size of
   * the disk, and so the extents had those zeros too.
   */
  readonly virtualSize: number;
}

export interface Disk extends DiskFacts {
  /**
   * Streams the disk once, then reads the image to its end and checks what follows (footer, CRC, end of archive). The disk is good only
   * once the iteration has ended without an error, not after the last extent.
   */
  extents(buffers: Buffers, options?: ExtentOptions): AsyncGenerator<Extent, DiskEnd, void>;
  /** Use instead of `extents` to run the final checks without decoding. */
  skip(): Promise<DiskEnd>;
}

export interface DecodeOptions {
  /** Called for each warning. */
  readonly onWarning?: OnWarning | undefined;
}
