/** The work that has been started and has not settled yet. */

import type { Extent } from '../disk/extent.ts';
import { createWakeup } from '../host/wakeup.ts';

export interface InFlight {
  readonly size: number;
  /** The first failure, of the work or set with `fail`. */
  readonly failure: { readonly error: unknown } | undefined;
  fail(error: unknown): void;
  /** Calls `settle` when the work has resolved or rejected. */
  add(extent: Extent, work: Promise<void>, settle: () => void): void;
  /** Whether work in flight overlaps this extent. */
  overlaps(extent: Extent): boolean;
  /** Resolves when the next work in flight settles. */
  settled(): Promise<void>;
  /** Resolves when all work has settled. */
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
