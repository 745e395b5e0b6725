/** Retry: how often a failed request is retried, the pause before it, and the warning. */

import { setTimeout as sleep } from 'node:timers/promises';
import { MiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { pauseAfter } from '../host/backoff.ts';
import { orCancelled } from '../host/cancel.ts';
import type { OnWarning, Warning } from '../warnings.ts';
import type { EarlyEnd } from './exchange.ts';

/**
 * Milliseconds to wait for the next byte of a response, after as many responses as `endings` have ended at this byte in a row. Where the
 * server's file is shorter than announced, glance-api keeps the connection open and sends nothing: with these pauses, three responses show
 * that within a minute. `idle` is the caller's limit.
 */
export const silenceAfter = (endings: number, idle = 30_000): number => (endings === 0 ? idle : Math.min(idle, 10_000));

/** Responses in a row that end at the same byte before the image of the server is taken to end there. */
const ENDINGS = 3;

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

/** Sizes in bytes. */
interface Sizes {
  readonly has: number;
  readonly announced: number;
}

export const shortError = (name: string, { has, announced }: Sizes, cause?: unknown): VdiStreamError =>
  new VdiStreamError('HTTP_SHORT', `${name}: the server announced ${announced} bytes, but has only the first ${has}`, {
    offset: has,
    cause,
  });

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
  /** Bytes in the image, if known. */
  readonly length: number | undefined;
  /** If a response ended; undefined for any other failure. */
  readonly ending: EarlyEnd | undefined;
}

export interface Retries {
  /** Responses that have ended since the last byte of progress. */
  readonly endings: number;
  /** A byte has arrived. */
  progressed(): void;
  /**
   * Warns, and pauses once all servers have failed. Out of retries, it throws `problem` before the first byte, HTTP_DROPPED after it; HTTP_SHORT
   * if all failures since the last progress were endings. Throws CANCELLED.
   */
  failed(failure: Failure): Promise<void>;
}

export function createRetries({ retries, wait = pause, signal, onWarning }: RetryOptions): Retries {
  /** Since the last byte of progress. */
  let failures = 0;
  let endings = 0;
  let silences = 0;
  /** Failures after the first byte of the image. */
  let drops = 0;
  return {
    get endings() {
      return endings;
    },
    progressed() {
      failures = endings = silences = 0;
    },
    async failed({ problem, name, servers, position, length, ending }) {
      const lost = (often: string): VdiStreamError =>
        new VdiStreamError('HTTP_DROPPED', `${name}: the connection was lost ${often}`, { offset: position, cause: problem });
      failures++;
      if (ending !== undefined) endings++;
      if (ending === 'silent') silences++;
      const isLast = failures >= (retries + 1) * servers;
      if (length !== undefined && endings === failures && endings >= ENDINGS && (isLast || silences >= Math.max(ENDINGS, servers))) {
        throw shortError(name, { has: position, announced: length }, problem);
      }
      if (isLast) throw position === 0 ? problem : lost(`${failures} times in a row`);
      if (position > 0 && ++drops > DROPS + position / MiB) throw lost(`${drops} times`);
      const milliseconds = failures % servers > 0 ? 0 : pauseAfter(failures / servers);
      onWarning?.(retryWarning(problem, milliseconds, position));
      if (milliseconds > 0) await orCancelled(wait(milliseconds, signal), signal);
    },
  };
}

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> => sleep(milliseconds, undefined, { signal });
