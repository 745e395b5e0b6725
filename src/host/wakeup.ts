/** Wakeup: lets one caller at a time wait for a change of state, which it then inspects itself. */

interface Wakeup {
  /** Resumes the waiting caller, if there is one. */
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
