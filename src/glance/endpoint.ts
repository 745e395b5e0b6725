/** Endpoint: the base address of an image service, such as http://10.0.0.1:9292, and several of them asked in turn. */

import { setTimeout as sleep } from 'node:timers/promises';
import { hasRemedy, VdiStreamError } from '../errors.ts';
import { orCancelled } from '../host/cancel.ts';
import { nameOf } from '../http/client.ts';
import { pauseAfter, retryWarning } from '../http/download.ts';
import { parseUrl } from '../http/url.ts';
import type { OnWarning } from '../warnings.ts';

/** The address without a slash at its end. A catalogue may list it with the version; Nova cuts that off too. Throws USAGE. */
export function baseOf(endpoint: string): string {
  const { origin, pathname } = parseUrl(endpoint);
  if (/[?#]/.test(endpoint)) {
    throw new VdiStreamError('USAGE', `${nameOf(endpoint)}: the address of an image service has no query and no fragment`);
  }
  return origin + pathname.replace(/\/*(\/v[12])?\/*$/, '');
}

export interface Answered<T> {
  readonly answer: T;
  /** The one that has answered, then the others but for those that cannot help. */
  readonly addresses: readonly string[];
}

export interface Asking {
  readonly retries?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: OnWarning | undefined;
}

/**
 * The first answer. Each address is asked up to `retries` times again, one after the other, with a wait once all have been asked. What
 * asking cannot mend is thrown at once; otherwise the last error, which tells what each of them has said.
 */
export async function askInTurn<T>(
  addresses: readonly string[],
  ask: (address: string) => Promise<T>,
  { retries = 5, signal, onWarning: warn }: Asking,
): Promise<Answered<T>> {
  const said = new Map<string, VdiStreamError>();
  let left = addresses;
  for (let round = 0; ; round++) {
    for (const address of left) {
      try {
        const answer = await ask(address);
        return { answer, addresses: [address, ...left.filter((other) => other !== address)] };
      } catch (error) {
        const isLost = hasRemedy(error, 'source', 'elsewhere');
        if (!isLost && !hasRemedy(error, 'source', 'again')) throw error;
        said.delete(address);
        said.set(address, error);
        if (isLost) left = left.filter((other) => other !== address);
      }
    }
    if (left.length === 0 || round >= retries) throw inOne([...said.values()]);
    const pause = pauseAfter(round + 1);
    warn?.(retryWarning(inOne([...said.values()]), pause));
    await orCancelled(sleep(pause, undefined, signal && { signal }), signal);
  }
}

function inOne(errors: readonly VdiStreamError[]): VdiStreamError {
  const last = errors.at(-1);
  if (last === undefined) return new VdiStreamError('USAGE', 'there is no endpoint of an image service to ask');
  if (errors.length === 1) return last;
  const { code, status } = last;
  return new VdiStreamError(code, `none of the endpoints helps: ${errors.map(({ message }) => message).join('; ')}`, {
    status,
    cause: last,
  });
}
