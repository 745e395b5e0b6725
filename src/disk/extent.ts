/**
 * Extent: one run of a disk, and the memory that holds its data.
 *
 * The extents of a disk cover [0, virtualSize): each byte exactly once, in any order. Only an extent with `overwrites` covers bytes
 * again, in a chain whose archive has a parent before its child.
 */

import { checkArguments } from '../block-arguments.ts';

/** One run of a disk. Offsets and lengths are bytes, multiples of 512. */
export type Extent = DataExtent | EmptyExtent;

export interface DataExtent {
  readonly kind: 'data';
  readonly offset: number;
  readonly length: number;
  /** An earlier extent, from a deeper layer of a chain, has covered this range: see `overlay.ts`. */
  readonly overwrites?: boolean;
  /** `length` bytes, filled once `ready` resolves. They belong to a pool: call `release` exactly once. */
  readonly bytes: Uint8Array;
  /** Files are read in the background, several extents at a time. Rejects if the read fails. */
  readonly ready: Promise<void>;
  release(): void;
}

export interface EmptyExtent {
  /** `zero`: present and all zero, so it hides a parent. `hole`: absent, so it reads as the parent, or as zero without one. */
  readonly kind: 'zero' | 'hole';
  readonly offset: number;
  readonly length: number;
  readonly overwrites?: boolean;
}

/** Releases an extent that is not going to be written, once the read into its buffer has ended. */
export function discard(extent: Extent): void {
  checkArguments('discard', extent);
  if (extent.kind !== 'data') return;
  const release = (): void => extent.release();
  extent.ready.then(release, release);
}

/** A buffer on loan from the pool. `bytes` is aligned for O_DIRECT. */
export interface Lease {
  readonly bytes: Uint8Array;
  release(): void;
}

/** Where decoders get their memory. Waiting for a free buffer throttles a fast source. */
export interface Buffers {
  /** Size of each buffer in bytes, a multiple of 4096. */
  readonly size: number;
  acquire(signal?: AbortSignal): Promise<Lease>;
}
