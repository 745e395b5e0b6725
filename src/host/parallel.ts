/** Work on several items at a time. */

/**
 * Calls `work` for each of `items`, `count` at a time. After the first error it takes no more of them. Waits for all calls that have begun,
 * also after an error, since they may still use memory of the caller; then throws the first.
 */
export async function eachInParallel<T>(
  items: Iterable<T> | AsyncIterable<T>,
  count: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const shared = taken(items);
  async function worker(): Promise<void> {
    for await (const item of shared) await work(item);
  }
  const outcomes = await Promise.allSettled(Array.from({ length: count }, worker));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

async function* taken<T>(items: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T, void, void> {
  yield* items;
}
