/**
 * Extent: one run of a disk, and the memory that its data comes in.
 *
 * The extents of a disk cover [0, virtualSize) exactly: no byte twice, no byte never. Their order is free. Only an extent that
 * says it `overwrites` covers bytes again, in a chain whose archive holds a parent before its child.
 */

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
