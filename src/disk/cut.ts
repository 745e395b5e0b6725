/** Cutting a data extent into pieces that share its buffer. */

import { assert } from '../errors.ts';
import { type DataExtent, discard } from './extent.ts';

export interface Piece {
  /** Byte offset on the disk, within the extent unless `at` is given. */
  readonly offset: number;
  readonly length: number;
  /** Byte of the extent's buffer; by default where the offset is in the extent. */
  readonly at?: number;
  readonly overwrites?: boolean;
}

/**
 * The pieces as extents. The buffer is released once the iteration has ended, even early, and every piece has been released. Without
 * pieces it is released as soon as it is no longer being filled.
 */
export function* cut(extent: DataExtent, pieces: Iterable<Piece>): Generator<DataExtent> {
  let holders = 1;
  const release = (): void => {
    holders--;
    assert(holders >= 0, 'a piece is released once');
    if (holders === 0) discard(extent);
  };
  try {
    for (const { offset, length, at, overwrites } of pieces) {
      const from = at ?? offset - extent.offset;
      assert(from >= 0 && from + length <= extent.length, 'a piece lies in its extent');
      holders++;
      const bytes = extent.bytes.subarray(from, from + length);
      const piece = { kind: 'data', offset, length, bytes, ready: extent.ready, release } as const;
      yield overwrites === true ? { ...piece, overwrites } : piece;
    }
  } finally {
    release();
  }
}
