/** Endpoint: the base address of an image service, such as http://10.0.0.1:9292, and how several of them are asked in turn. */

import { setTimeout as sleep } from 'node:timers/promises';
import { hasRemedy, VdiStreamError } from '../errors.ts';
import { orCancelled } from '../host/cancel.ts';
import { pauseAfter, RETRIES, retryWarning } from '../http/retry.ts';
import { parseUrl, redactUrl } from '../http/url.ts';
import type { OnWarning } from '../warnings.ts';

/** The address without a slash at its end. A catalogue may list it with the version; Nova cuts that off too. Throws USAGE. */
export function baseOf(endpoint: string): string {
  const { origin, pathname } = parseUrl(endpoint);
  if (/[?#]/.test(endpoint)) {
    throw new VdiStreamError('USAGE', `${redactUrl(endpoint)}: the address of an image service has no query and no fragment`);
  }
  return origin + pathname.replace(/\/*(\/v[12])?\/*$/, '');
}

export interface Answered<T> {
  readonly answer: T;
  /** The one that has answered, then the others but for those that cannot help. */
  readonly addresses: readonly string[];
}

interface AskOptions {
  /** How often each address is asked again. */
  readonly retries: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onWarning: OnWarning | undefined;
}

/**
 * The first answer. Each address is asked up to `retries` times again, one after the other, with a wait once all have been asked. Throws at
 * once an error that has no remedy there, otherwise the last one, whose message has those of all addresses, USAGE without any address, and
 * CANCELLED.
 */
export async function askInTurn<T>(
  addresses: readonly string[],
  ask: (address: string) => Promise<T>,
  { retries = RETRIES, signal, onWarning }: AskOptions,
): Promise<Answered<T>> {
  /** The last error of each address, the latest one last. */
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
  if (last === undefined) return new VdiStreamError('USAGE', 'there is no endpoint of an image service to ask');
  if (errors.length === 1) return last;
  const { code, status } = last;
  return new VdiStreamError(code, `none of the endpoints helps: ${errors.map(({ message }) => message).join('; ')}`, {
    status,
    cause: last,
  });
}
