/** Endpoint: the base URL of an image service, such as http://10.0.0.1:9292, and how several endpoints are tried in turn. */

import { setTimeout as sleep } from 'node:timers/promises';
import { hasRemedy, VdiStreamError } from '../errors.ts';
import { pauseAfter, RETRIES } from '../host/backoff.ts';
import { orCancelled } from '../host/cancel.ts';
import { retryWarning } from '../http/retry.ts';
import { parseUrl, redactUrl } from '../http/url.ts';
import type { OnWarning } from '../warnings.ts';

/** The URL without a trailing slash or version, which a service catalogue may include; Nova strips it too. Throws USAGE. */
export function baseOf(endpoint: string): string {
  const { origin, pathname } = parseUrl(endpoint);
  if (/[?#]/.test(endpoint)) {
    throw new VdiStreamError('USAGE', `${redactUrl(endpoint)}: the URL of an image service must not have a query or fragment`);
  }
  return origin + pathname.replace(/\/*(\/v[12])?\/*$/, '');
}

export interface Answered<T> {
  readonly answer: T;
  /** The address that answered, then the others still worth trying. */
  readonly addresses: readonly string[];
}

interface AskOptions {
  /** Per address. */
  readonly retries: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onWarning: OnWarning | undefined;
}

/**
 * Returns the first answer. Tries the addresses in turn, up to `retries` more rounds, with a pause between rounds. Throws an error that
 * neither a retry nor another address can remedy immediately; otherwise the last error, with the messages of all addresses. Throws USAGE
 * without an address, and CANCELLED.
 */
export async function askInTurn<T>(
  addresses: readonly string[],
  ask: (address: string) => Promise<T>,
  { retries = RETRIES, signal, onWarning }: AskOptions,
): Promise<Answered<T>> {
  /** The last error of each address, the latest last. */
  const errors = new Map<string, VdiStreamError>();
  let left = addresses;
  for (let round = 0; ; round++) {
    for (const address of left) {
      try {
        const answer = await ask(address);
        return { answer, addresses: [address, ...left.filter((other) => other !== address)] };
      } catch (error) {
        const isElsewhere = hasRemedy(error, 'source', 'elsewhere');
        if (!isElsewhere && !hasRemedy(error, 'source', 'again')) throw error;
        errors.delete(address);
        errors.set(address, error);
        if (isElsewhere) left = left.filter((other) => other !== address);
      }
    }
    if (left.length === 0 || round >= retries) throw combined([...errors.values()]);
    const pause = pauseAfter(round + 1);
    onWarning?.(retryWarning(combined([...errors.values()]), pause));
    await orCancelled(sleep(pause, undefined, signal && { signal }), signal);
  }
}

function combined(errors: readonly VdiStreamError[]): VdiStreamError {
  const last = errors.at(-1);
  if (last === undefined) return new VdiStreamError('USAGE', 'no endpoint for the image service');
  if (errors.length === 1) return last;
  const { code, status } = last;
  return new VdiStreamError(code, `all endpoints failed: ${errors.map(({ message }) => message).join('; ')}`, {
    status,
    cause: last,
  });
}
