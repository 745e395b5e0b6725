/** A session on the master of a pool: opened with a password, or given by the caller, and used by all calls of an import. */

import { isIPv6 } from 'node:net';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import { type XapiCalls, xapiCalls, xapiRefusal } from './xapi-client.ts';
import { createTrust, parseXapiUrl, type Trust } from './xapi-connection.ts';
import type { XapiOptions } from './xapi-options.ts';

export interface XapiSession {
  /** Of the master. */
  readonly url: URL;
  readonly trust: Trust;
  /** The reference, for the query of a transfer; no message may show it. */
  readonly ref: string;
  /** As `XapiCalls.call`, with the session as the first parameter. */
  call(method: string, params: readonly unknown[], signal?: AbortSignal): Promise<unknown>;
}

/**
 * Lets `use` work in a session, and logs out afterwards, unless the caller has given the session. Throws USAGE, XAPI_LOGIN, XAPI_TLS,
 * XAPI_CONNECTION and XAPI_FAILED.
 */
export async function withSession<T>(
  { url: given, user, password, session, ca, fingerprints, timeout, grace }: XapiOptions,
  signal: AbortSignal | undefined,
  use: (session: XapiSession) => Promise<T>,
): Promise<T> {
  throwIfCancelled(signal);
  const trust = createTrust({ ca, fingerprints });
  const credentials = credentialsOf({ user, password, session });
  let secrets = Object.values(credentials).slice(-1);
  const callsOn = (url: URL): XapiCalls => xapiCalls(url, trust, { timeout, grace }, () => secrets);
  const { url, ref } = await logIn(parseXapiUrl(given), credentials, callsOn, signal);
  secrets = [...secrets, ref];
  const calls = callsOn(url);
  try {
    return await use({ url, trust, ref, call: (method, params, cancel) => calls.call(method, [ref, ...params], cancel) });
  } finally {
    // One that stays open ends after a day without a call.
    if (session === undefined) await calls.call('session.logout', [ref]).catch(() => {});
  }
}

/** The secret is the last field. */
type Credentials = { readonly user: string; readonly password: string } | { readonly session: string };

function credentialsOf({ user, password, session }: Pick<XapiOptions, 'user' | 'password' | 'session'>): Credentials {
  if (session !== undefined && user === undefined && password === undefined) return { session };
  if (session === undefined && user !== undefined && password !== undefined) return { user, password };
  throw new VdiStreamError('USAGE', 'a pool needs either a user and a password, or a session');
}

/** Follows a slave to its master, once. */
async function logIn(
  first: URL,
  credentials: Credentials,
  callsOn: (url: URL) => XapiCalls,
  signal: AbortSignal | undefined,
): Promise<{ readonly url: URL; readonly ref: string }> {
  const [method, params]: [string, string[]] =
    'session' in credentials
      ? // Any call shows whether the session is valid, and whether this is the master.
        ['pool.get_all', [credentials.session]]
      : ['session.login_with_password', [credentials.user, credentials.password]];
  let url = first;
  for (let isSecond = false; ; isSecond = true) {
    const answer = await callsOn(url).ask(method, params, signal);
    if ('result' in answer) return { url, ref: 'session' in credentials ? credentials.session : String(answer.result) };
    const [address] = answer.params;
    if (answer.code !== 'HOST_IS_SLAVE' || isSecond || address === undefined) {
      // Without the parameters: XAPI repeats the user, or the session.
      throw xapiRefusal(answer.code, `${url.host}: ${method}: ${answer.code}`);
    }
    url = urlOfHost(address, url);
  }
}

/** At the port of another host of the pool. Throws XAPI_FAILED for what is no address. */
export function urlOfHost(address: string, other: URL): URL {
  const text = `https://${isIPv6(address) ? `[${address}]` : address}${other.port === '' ? '' : `:${other.port}`}/`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.username !== '' || url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new VdiStreamError('XAPI_FAILED', `${other.host}: the address of a host of the pool is invalid`);
  }
  return url;
}
