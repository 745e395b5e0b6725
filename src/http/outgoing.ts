/** Outgoing: the body of a request while it is sent, one piece at a time. */

import type { Chunks } from '../cursor.ts';
import { createWakeup } from '../host/wakeup.ts';

export interface Outgoing {
  /** For the client, which asks for the next piece once the socket has taken the one before. Ends only after `end`. */
  readonly chunks: Chunks;
  /** Resolves once the socket has taken the piece, which may change then. Throws the error of `fail`. */
  send(piece: Uint8Array): Promise<void>;
  /** The body is complete. */
  end(): void;
  /** The body stays incomplete: nothing more is sent, and the client closes the connection. The first error counts. */
  fail(error: unknown): void;
}

/**
 * A socket of Node asks its writer to wait only above a high-water mark, of at most 64 KiB. Up to that, it may hold on to a chunk that the
 * writer has already moved past.
 */
const HIGH_WATER = 64 * 1024;

/** `onStall` is called when the socket has taken nothing for `idleTimeout` milliseconds. */
export function outgoingBody(idleTimeout: number, onStall: () => void): Outgoing {
  const toSend = createWakeup();
  const taken = createWakeup();
  const state: { piece?: Uint8Array | undefined; ended: boolean; failure?: { readonly error: unknown } } = { ended: false };

  async function* chunks(): Chunks {
    let stalled: NodeJS.Timeout | undefined;
    try {
      for (;;) {
        if (state.failure !== undefined) throw state.failure.error;
        if (state.piece !== undefined) {
          stalled = setTimeout(onStall, idleTimeout);
          yield state.piece;
          clearTimeout(stalled);
          state.piece = undefined;
          taken.wake();
        } else if (state.ended) return;
        else await toSend.woken();
      }
    } finally {
      // The client also leaves early, when the connection is lost or the server has answered.
      clearTimeout(stalled);
      state.piece = undefined;
      taken.wake();
    }
  }

  const throwIfFailed = (): void => {
    if (state.failure !== undefined) throw state.failure.error;
  };

  return {
    chunks: chunks(),
    async send(next) {
      throwIfFailed();
      state.piece = next.length < HIGH_WATER ? Uint8Array.from(next) : next;
      toSend.wake();
      while (state.piece !== undefined) {
        await taken.woken();
        throwIfFailed();
      }
    },
    end() {
      state.ended = true;
      toSend.wake();
    },
    fail(error) {
      state.failure ??= { error };
      toSend.wake();
      taken.wake();
    },
  };
}
