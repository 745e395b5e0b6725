/** Retry: how often a failed request is retried, the pause before it, and the warning. */

import { setTimeout as sleep } from 'node:timers/promises';
import { MiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { orCancelled } from '../host/cancel.ts';
import type { OnWarning, Warning } from '../warnings.ts';

/** Retries per server in a row without a byte of progress. */
export const RETRIES = 5;

/**
 * Milliseconds to pause once all servers have failed `round` times: half a second, doubled each round, at most 15 s, like Nova between its
 * own attempts (call_plugin_serialized_with_retry in nova/virt/xenapi/client/session.py).
 */
export const pauseAfter = (round: number): number => Math.min(500 * 2 ** (round - 1), 15_000);

/** `pause` in milliseconds; `offset` is the byte where the download resumes. */
export const retryWarning = ({ message }: VdiStreamError, pause: number, offset?: number): Warning => ({
  code: 'HTTP_RETRY',
  message: `${message}; retrying${pause === 0 ? '' : ` in ${pause / 1000} s`}`,
  ...(offset === undefined ? {} : { offset }),
});

/**
 * Drops allowed per download, plus one for each MiB received. A server that sends one byte per connection makes progress every time and
 * would never be given up; a line that lasts a MiB at a time still carries an image of any size.
 */
const DROPS = 100;

interface RetryOptions {
  /** Per server, in a row, without a byte of progress. */
  readonly retries: number;
  readonly wait?: ((milliseconds: number, signal: AbortSignal) => Promise<unknown>) | undefined;
  readonly signal: AbortSignal;
  readonly onWarning: OnWarning | undefined;
}

interface Failure {
  readonly problem: VdiStreamError;
  /** The server, for messages. */
  readonly name: string;
  /** Number of servers tried in turn. */
  readonly servers: number;
  /** Bytes received. */
  readonly position: number;
}

export interface Retries {
  /** A byte has arrived. */
  progressed(): void;
  /**
   * Warns, and pauses once all servers have failed. Out of retries, it throws `problem` before the first byte, HTTP_DROPPED after it.
   * Throws CANCELLED.
   */
  failed(failure: Failure): Promise<void>;
}

export function createRetries({ retries, wait = pause, signal, onWarning }: RetryOptions): Retries {
  /** Since the last byte of progress. */
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
