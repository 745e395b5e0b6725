/** What has been issued and has not settled yet. After a failure nothing more is issued, and what is in flight is waited for. */

import type { Extent } from '../disk/extent.ts';
import { createWakeup } from '../host/wakeup.ts';

export interface InFlight {
  readonly size: number;
  /** Set by the first failure, also by the caller's own. */
  readonly failure: { readonly error: unknown } | undefined;
  fail(error: unknown): void;
  /** `settle` is called when the work has ended, well or not. */
  add(extent: Extent, work: Promise<void>, settle: () => void): void;
  /** Whether something in flight lies on bytes of this extent. */
  overlaps(extent: Extent): boolean;
  /** Resolves when something in flight has settled next. */
  settled(): Promise<void>;
  /** Resolves when all has. */
  drained(): Promise<void>;
}

export function createInFlight(): InFlight {
  const works = new Map<Promise<void>, Extent>();
  let failure: InFlight['failure'];
  const { wake, woken } = createWakeup();

  return {
    get size() {
      return works.size;
    },
    get failure() {
      return failure;
    },
    fail(error) {
      failure ??= { error };
    },
    add(extent, work, settle) {
      const tracked: Promise<void> = work
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .then(() => {
          works.delete(tracked);
          settle();
          wake();
        });
      works.set(tracked, extent);
    },
    overlaps: (extent) => [...works.values()].some((other) => overlap(extent, other)),
    settled: woken,
    async drained() {
      await Promise.all(works.keys());
    },
  };
}

const overlap = (a: Extent, b: Extent): boolean => a.offset < b.offset + b.length && b.offset < a.offset + a.length;
