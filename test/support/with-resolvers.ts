/** Promise.withResolvers, which Node 20 lacks. */

export interface PromiseWithResolvers {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(reason: unknown): void;
}

export function withResolvers(): PromiseWithResolvers {
  let resolve = (): void => {};
  let reject = (_: unknown): void => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {}); // the test may look at it later
  return { promise, resolve: () => resolve(), reject: (reason) => reject(reason) };
}
