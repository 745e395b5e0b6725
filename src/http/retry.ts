/** Retry: how often a server that fails is asked again, how long to wait before that, and the warning about it. */

import { setTimeout as sleep } from 'node:timers/promises';
import { MiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { orCancelled } from '../host/cancel.ts';
import type { OnWarning, Warning } from '../warnings.ts';

/** How often each server is asked again that fails without a byte of progress. */
export const RETRIES = 5;

/**
 * Milliseconds to wait once all servers have failed for the `round`th time, from 1 on: half a second, doubled each time, 15 s at most, as
 * Nova waits between its own attempts (call_plugin_serialized_with_retry in nova/virt/xenapi/client/session.py).
 */
export const pauseAfter = (round: number): number => Math.min(500 * 2 ** (round - 1), 15_000);

/** `pause` in milliseconds; `offset` is the byte at which the image is resumed. */
export const retryWarning = ({ message }: VdiStreamError, pause: number, offset?: number): Warning => ({
  code: 'HTTP_RETRY',
  message: `${message}; asking again${pause === 0 ? '' : ` in ${pause / 1000} s`}`,
  ...(offset === undefined ? {} : { offset }),
});

/**
 * Drops that are allowed whatever they bring, and beyond that one for each MiB that has come: a server that gives a byte a connection makes
 * progress each time, and would keep us for ever. An image of any size gets through a line that holds for a MiB at a time.
 */
const DROPS = 100;

interface RetryOptions {
  /** How often each server is asked again that fails without a byte of progress. */
  readonly retries: number;
  /** Takes milliseconds. */
  readonly wait?: ((milliseconds: number, signal: AbortSignal) => Promise<unknown>) | undefined;
  readonly signal: AbortSignal;
  readonly onWarning: OnWarning | undefined;
}

/** One failure of a server. */
interface Failure {
  readonly problem: VdiStreamError;
  /** The server, for messages. */
  readonly name: string;
  /** How many servers are asked one after the other. */
  readonly servers: number;
  /** Bytes that have come. */
  readonly position: number;
}

export interface Retries {
  /** A byte has come. */
  progressed(): void;
  /**
   * Warns, and waits where all servers have failed. Throws once it has been often enough: the problem itself as long as no byte has come,
   * HTTP_DROPPED after that. Throws CANCELLED.
   */
  failed(failure: Failure): Promise<void>;
}

export function createRetries({ retries, wait = pause, signal, onWarning }: RetryOptions): Retries {
  /** In a row, without a byte of progress. */
  let failures = 0;
  /** Failures after the first byte of the image. */
  let drops = 0;
  return {
    progressed() {
      failures = 0;
    },
    async failed({ problem, name, servers, position }) {
      const lost = (often: string): VdiStreamError =>
        new VdiStreamError('HTTP_DROPPED', `${name}: the connection was lost ${often}`, { offset: position, cause: problem });
      if (++failures >= (retries + 1) * servers) throw position === 0 ? problem : lost(`${failures} times in a row`);
      if (position > 0 && ++drops > DROPS + position / MiB) throw lost(`${drops} times`);
      const milliseconds = failures % servers > 0 ? 0 : pauseAfter(failures / servers);
      onWarning?.(retryWarning(problem, milliseconds, position));
      if (milliseconds > 0) await orCancelled(wait(milliseconds, signal), signal);
    },
  };
}

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> => sleep(milliseconds, undefined, { signal });
