/** Incoming: a response as it arrives: its head, the bytes not read yet, and how it ends. */

import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { createWakeup } from '../host/wakeup.ts';

/** What the server is expected to do next; decides which error a failure becomes. */
export type Phase = 'connect' | 'headers' | 'body';

export interface AnswerHead {
  readonly status: number;
  /** Names in lower case; repeated fields are joined with commas. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** Pauses and resumes the sender. */
interface Flow {
  pause(): void;
  resume(): void;
}

/** Ends once: complete, failed or cancelled, whichever comes first. */
export interface Incoming {
  readonly phase: Phase;
  readonly ended: boolean;
  /** The connection is open, and the request sent. */
  sent(flow: Flow): void;
  begin(head: AnswerHead): void;
  push(chunk: Uint8Array): void;
  /** The response is complete, or with `error`, failed. */
  end(error?: VdiStreamError): void;
  cancel(): void;
  /** Lifts the buffer's limit: the server has closed the connection, so everything it sent must be read now. */
  lift(): void;
  /** Resolves once the head has arrived. Throws if the response ends with an error before that. */
  head(): Promise<AnswerHead>;
  /** Yields everything received before it throws. Leaving the loop early cancels the response. */
  body(): Chunks;
}

/** Calls `disconnect` once, when the response ends. Ends with CANCELLED when one of `signals` fires. */
export function receive(signals: readonly AbortSignal[], disconnect: () => void): Incoming {
  const buffer = receiveBuffer();
  const { wake, woken } = createWakeup();
  const ending = createEnding(signals, buffer, () => {
    wake();
    // Not from inside one of undici's callbacks.
    queueMicrotask(disconnect);
  });
  let phase: Phase = 'connect';
  let head: AnswerHead | undefined;

  async function* body(): Chunks {
    try {
      for (;;) {
        const chunk = buffer.shift();
        if (chunk !== undefined) yield chunk;
        else if (ending.outcome === undefined) await woken();
        else if (ending.outcome.error === undefined) return;
        else throw ending.outcome.error;
      }
    } finally {
      ending.cancel();
    }
  }

  return {
    end: ending.end,
    cancel: ending.cancel,
    body,
    get phase() {
      return phase;
    },
    get ended() {
      return ending.outcome !== undefined;
    },
    sent(flow) {
      phase = 'headers';
      buffer.fillFrom(flow);
    },
    begin(received) {
      phase = 'body';
      head = received;
      wake();
    },
    push(chunk) {
      buffer.push(chunk);
      wake();
    },
    lift: () => buffer.lift(),
    async head() {
      while (head === undefined) {
        if (ending.outcome?.error !== undefined) throw ending.outcome.error;
        await woken();
      }
      return head;
    },
  };
}

interface Ending {
  readonly outcome: { readonly error: VdiStreamError | undefined } | undefined;
  end(error?: VdiStreamError): void;
  cancel(): void;
}

/** Calls `onEnd` once, at whichever comes first: the end, a failure, or a signal. */
function createEnding(signals: readonly AbortSignal[], buffer: ReceiveBuffer, onEnd: () => void): Ending {
  let outcome: Ending['outcome'];

  function end(error?: VdiStreamError): void {
    if (outcome !== undefined) return;
    outcome = { error };
    for (const signal of signals) signal.removeEventListener('abort', cancel);
    onEnd();
  }

  function cancel(): void {
    // A complete response with unread bytes must not look as if it had been read to its end.
    if (buffer.clear()) outcome = undefined;
    const cause: unknown = signals.find(({ aborted }) => aborted)?.reason;
    end(new VdiStreamError('CANCELLED', 'cancelled', { cause }));
  }

  for (const signal of signals) signal.addEventListener('abort', cancel);
  if (signals.some(({ aborted }) => aborted)) cancel();
  return {
    get outcome() {
      return outcome;
    },
    end,
    cancel,
  };
}

/** Bytes buffered for a slow reader: enough that it does not wait for the socket chunk by chunk. */
const LIMIT = 256 * 1024;
/** Rough bytes of memory per chunk on top of its content; a server may send single bytes. */
const OVERHEAD = 256;

interface ReceiveBuffer {
  fillFrom(flow: Flow): void;
  push(chunk: Uint8Array): void;
  shift(): Uint8Array | undefined;
  /** Removes the limit. */
  lift(): void;
  /** Returns whether it held anything. */
  clear(): boolean;
}

/** Pauses the sender while it holds `LIMIT` bytes or more. */
function receiveBuffer(): ReceiveBuffer {
  const chunks: Uint8Array[] = [];
  let held = 0;
  let limited = true;
  let sender: Flow | undefined;
  return {
    fillFrom(flow) {
      sender = flow;
    },
    push(chunk) {
      chunks.push(chunk);
      held += chunk.length + OVERHEAD;
      if (held >= LIMIT && limited) sender?.pause();
    },
    shift() {
      const chunk = chunks.shift();
      if (chunk === undefined) return undefined;
      held -= chunk.length + OVERHEAD;
      if (held < LIMIT) sender?.resume();
      return chunk;
    },
    lift() {
      limited = false;
      sender?.resume();
    },
    clear() {
      held = 0;
      return chunks.splice(0).length > 0;
    },
  };
}
