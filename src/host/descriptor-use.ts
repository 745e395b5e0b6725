/** DescriptorUse: the calls on a descriptor, which end before it is closed: after that, its number may belong to another file. */

interface DescriptorUse {
  /** Throws what `closed` returns if the use has ended. */
  during<T>(call: () => Promise<T>): Promise<T>;
  /** From now on `during` throws. Resolves when the calls in flight have settled. */
  end(): Promise<void>;
}

export function descriptorUse(closed: () => Error): DescriptorUse {
  const inFlight = new Set<Promise<unknown>>();
  let open = true;
  return {
    async during(call) {
      if (!open) throw closed();
      const work = call();
      inFlight.add(work);
      try {
        return await work;
      } finally {
        inFlight.delete(work);
      }
    },
    async end() {
      open = false;
      await Promise.allSettled(inFlight);
    },
  };
}
