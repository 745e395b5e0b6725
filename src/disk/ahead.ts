/** Reading in advance: items are requested before they are needed, so that several reads are under way. */

/**
 * The items in order, with up to `depth` of them requested in advance. Items that are not consumed are passed to `drop`.
 */
export async function* ahead<T>(
  items: AsyncGenerator<T, unknown, void>,
  depth: number,
  drop: (item: T) => void,
): AsyncGenerator<T, void, void> {
  const requested: Promise<IteratorResult<T, unknown>>[] = [];
  const dropResult = (result: IteratorResult<T, unknown>): void => {
    if (!result.done) drop(result.value);
  };
  try {
    for (;;) {
      while (requested.length < depth) {
        const next = items.next();
        next.catch(() => {}); // thrown below, when its turn comes
        requested.push(next);
      }
      const result = await requested.shift();
      if (result === undefined || result.done) return;
      yield result.value;
    }
  } finally {
    for (const next of requested) next.then(dropResult, () => {});
    // Not awaited: the stream may have stalled.
    items.return(undefined).catch(() => {});
  }
}
