/**
 * Tap: receives small extents as they are decoded. An extent that is yielded costs promises in each function that it passes through; for a
 * single sector these cost more than everything else.
 */

import type { Extent } from './extent.ts';

export interface Tap {
  /** Whether `take` has room for extents within this range. */
  accepts(offset: number, length: number): boolean;
  /** Takes over an extent whose bytes are ready. Call `accepts` first. */
  take(extent: Extent): void;
}

/** If an extent is cut into more pieces, it pays to wait for its bytes, so that they can be offered to a tap. */
export const MANY_PIECES = 16;

/** Whether the bytes have been read; false if reading them failed. */
export async function isReady(extent: Extent): Promise<boolean> {
  if (extent.kind !== 'data') return true;
  return extent.ready.then(
    () => true,
    () => false,
  );
}

/** Offers the extents, whose bytes are ready, to the tap, and returns those that it does not accept. */
export function* untapped(extents: Iterable<Extent>, tap: Tap | undefined): Generator<Extent, void, void> {
  for (const extent of extents) {
    if (tap?.accepts(extent.offset, extent.length)) tap.take(extent);
    else yield extent;
  }
}
