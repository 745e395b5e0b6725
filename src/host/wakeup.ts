/** Wakeup: one caller at a time waits until something has happened, whatever it is, and then looks for itself. */

interface Wakeup {
  /** Resumes who waits, if somebody does. */
  wake(): void;
  woken(): Promise<void>;
}

export function createWakeup(): Wakeup {
  let wake = (): void => {};
  return {
    wake: () => wake(),
    woken: () =>
      new Promise((resolve) => {
        wake = resolve;
      }),
  };
}
