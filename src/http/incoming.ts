/** Incoming: an answer while it arrives. Its head, the bytes that nobody has asked for yet, and how it ends. */

import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { createWakeup } from '../host/wakeup.ts';

/** What is awaited from the server. What a failure means depends on it. */
export type Phase = 'connect' | 'headers' | 'body';

export interface AnswerHead {
  readonly status: number;
  /** Names in lower case; several values are joined with commas. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** The sender, as far as it can be held up. */
interface Flow {
  pause(): void;
  resume(): void;
}

/** The first end of an answer counts: complete, failed or cancelled. */
export interface Incoming {
  readonly phase: Phase;
  readonly ended: boolean;
  /** The request is sent over a connection. */
  sent(flow: Flow): void;
  begin(head: AnswerHead): void;
  push(chunk: Uint8Array): void;
  /** All of it is here, or with an error, nothing more will come. */
  end(error?: VdiStreamError): void;
  cancel(): void;
  /** The server has ended the connection, so that what it has sent must be taken now, however much it is. */
  lift(): void;
  /** Resolves with the head once it is here. Throws the error that the answer ends with before that. */
  head(): Promise<AnswerHead>;
  /** What has arrived before a failure is given before that is thrown. Left early, it cancels the answer. */
  body(): Chunks;
}

/** `disconnect` is called once, when the answer has ended; CANCELLED is that end once one of `signals` fires. */
export function receive(signals: readonly AbortSignal[], disconnect: () => void): Incoming {
  const buffer = receiveBuffer();
  const { wake, woken } = createWakeup();
  const ending = createEnding(signals, buffer, () => {
    wake();
    // The client is in the middle of its own work when it calls.
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

/** Calls `onEnd` once, when the first of them has ended the answer: its end, a failure, or a signal. */
function createEnding(signals: readonly AbortSignal[], buffer: ReceiveBuffer, onEnd: () => void): Ending {
  let outcome: Ending['outcome'];

  function end(error?: VdiStreamError): void {
    if (outcome !== undefined) return;
    outcome = { error };
    for (const signal of signals) signal.removeEventListener('abort', cancel);
    onEnd();
  }

  function cancel(): void {
    // An answer that is complete but was not read to its end must not look as if it had been.
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

/** Bytes that are held for a slow reader: enough that the socket is never waited for in small steps. */
const LIMIT = 256 * 1024;
/** Bytes that the object of a chunk takes, about, beside those of its content: a server may send single ones. */
const OVERHEAD = 256;

interface ReceiveBuffer {
  fillFrom(flow: Flow): void;
  push(chunk: Uint8Array): void;
  shift(): Uint8Array | undefined;
  /** Takes whatever comes from now on. */
  lift(): void;
  /** Whether there was anything. */
  clear(): boolean;
}

/** Holds up the sender while it has `LIMIT` bytes or more. */
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
