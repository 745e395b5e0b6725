/** Cancel: promises and streams that end immediately when a signal fires, even while they wait for bytes that never arrive. */

import type { Chunks } from '../cursor.ts';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';

/** Rejects with CANCELLED as soon as `signal` fires. */
export function orCancelled<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const cancel = (): void => reject(new VdiStreamError('CANCELLED', 'cancelled', { cause: signal.reason }));
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', cancel));
  });
}

/** The chunks of `source`. Throws CANCELLED as soon as `signal` fires, even while waiting for a chunk. */
export async function* cancellable(source: Chunks, signal: AbortSignal): Chunks {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      throwIfCancelled(signal);
      const next = await orCancelled(iterator.next(), signal);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // Not awaited: it may be queued after a read that ends only when the source is closed.
    iterator.return?.()?.then(undefined, () => {});
  }
}
