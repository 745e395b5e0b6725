/** What is done with an extent: one pure table. */

import type { Extent } from '../disk/extent.ts';

/**
 * What to do where the disk is empty.
 * - `auto`: nothing on a target that is known to read zero, otherwise the zeroing cascade
 * - `assume-zero`: nothing; the caller knows that the target reads zero (a fresh VHD-backed VDI does)
 * - `write`: write zeros, trusting no other call
 */
export type ZeroPolicy = 'auto' | 'assume-zero' | 'write';

export const ZERO_POLICIES: readonly ZeroPolicy[] = ['auto', 'assume-zero', 'write'];

type Action = 'write' | 'zero' | 'skip';

/**
 * `write` on an empty extent means to write zeros. What overwrites an earlier layer's data is never skipped: a target that
 * read as zero there does so no more.
 */
export function plan(kind: Extent['kind'], policy: ZeroPolicy, readsZero: boolean, overwrites = false): Action {
  if (kind === 'data' || policy === 'write') return 'write';
  if (!overwrites && (policy === 'assume-zero' || readsZero)) return 'skip';
  return 'zero';
}
