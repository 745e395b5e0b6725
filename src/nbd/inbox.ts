/** Inbox: bytes that arrive in chunks of any size, copied straight to where they are needed. */

interface Inbox {
  /** Bytes that have arrived and that no `fill` has asked for. */
  readonly held: number;
  push(chunk: Uint8Array): void;
  /** No more bytes arrive: once those held are used up, `fill` throws `error`. */
  end(error: Error): void;
  /** Fills `into` with the next bytes. One call at a time. */
  fill(into: Uint8Array): Promise<void>;
}

interface Waiting {
  /** The part that is not filled yet. */
  rest: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export function createInbox(): Inbox {
  const chunks: Uint8Array[] = [];
  let held = 0;
  let failure: Error | undefined;
  let waiting: Waiting | undefined;

  /** Returns what `into` still lacks. */
  function take(into: Uint8Array): Uint8Array {
    let rest = into;
    for (let chunk = chunks[0]; chunk !== undefined && rest.length > 0; chunk = chunks[0]) {
      const part = chunk.subarray(0, rest.length);
      rest.set(part);
      rest = rest.subarray(part.length);
      held -= part.length;
      if (part.length === chunk.length) chunks.shift();
      else chunks[0] = chunk.subarray(part.length);
    }
    return rest;
  }

  return {
    get held() {
      return held;
    },
    push(chunk) {
      chunks.push(chunk);
      held += chunk.length;
      if (waiting === undefined) return;
      waiting.rest = take(waiting.rest);
      if (waiting.rest.length > 0) return;
      waiting.resolve();
      waiting = undefined;
    },
    end(error) {
      failure ??= error;
      waiting?.reject(failure);
      waiting = undefined;
    },
    fill: (into) =>
      new Promise((resolve, reject) => {
        const rest = take(into);
        if (rest.length === 0) resolve();
        else if (failure !== undefined) reject(failure);
        else waiting = { rest, resolve, reject };
      }),
  };
}
