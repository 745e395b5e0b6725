/** Plan: what to do with an extent. */

import type { Extent } from '../disk/extent.ts';

/**
 * What to do where the disk is empty.
 * - `auto`: nothing if the target is known to read as zero, otherwise the zeroing cascade
 * - `assume-zero`: nothing; the caller guarantees that the target reads as zero (a fresh VHD-backed VDI does)
 * - `write`: write zeros; no other call is trusted
 */
export type ZeroPolicy = 'auto' | 'assume-zero' | 'write';

export const ZERO_POLICIES: readonly ZeroPolicy[] = ['auto', 'assume-zero', 'write'];

type Action = 'write' | 'zero' | 'skip';

/**
 * `write` on an empty extent means writing zeros. An extent that overwrites the data of an earlier layer is never skipped, since the target
 * no longer reads as zero there.
 */
export function plan(kind: Extent['kind'], policy: ZeroPolicy, readsZero: boolean, overwrites = false): Action {
  if (kind === 'data' || policy === 'write') return 'write';
  if (!overwrites && (policy === 'assume-zero' || readsZero)) return 'skip';
  return 'zero';
}
