/** Requests to web servers: options, trust, redirects, and what a status means. */

import { VdiStreamError } from '../errors.ts';
import { type Connection, exchange, type HttpAnswer } from './exchange.ts';
import { checkHeaders, type HeaderFields, parseUrl, redactUrl, redirectTarget } from './url.ts';

export interface HttpOptions {
  /** Sent with each request to the first host only; values never appear in names, errors, logs. */
  readonly headers?: HeaderFields | undefined;
  /** PEM certificates to trust in addition to Node's own. Verification cannot be turned off. */
  readonly ca?: string | undefined;
  /** Milliseconds until a connection stands, with TLS; 10 s by default. */
  readonly connectTimeout?: number | undefined;
  /** Milliseconds without a byte, or without the headers of an answer; 60 s by default. Not counted while nobody takes the bytes. */
  readonly idleTimeout?: number | undefined;
  /** How often each server is asked again that fails without a byte of progress in between; 5 by default. */
  readonly retries?: number | undefined;
}

interface RequestOptions {
  readonly method?: 'GET' | 'HEAD' | undefined;
  /** Of this request, and sent wherever it is redirected to: nothing secret. */
  readonly headers?: HeaderFields | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Http {
  /**
   * Resolves with the headers of the answer; the caller reads its body to the end, or closes it. Throws USAGE, HTTP_CONNECT,
   * HTTP_TLS, HTTP_REDIRECT, HTTP_DROPPED, CANCELLED, and HTTP_STATUS for what is no HTTP. A status is no error here.
   */
  request(url: string, options?: RequestOptions): Promise<HttpAnswer>;
  /** Ends whatever is under way. */
  close(): Promise<void>;
}

const MAX_REDIRECTS = 5;
const REDIRECTS = [301, 302, 303, 307, 308];
const MAX_TIMEOUT = 2 ** 31 - 1;

/** Throws USAGE. Nothing is loaded and no connection made before the first request. */
export function createHttp(options: HttpOptions = {}): Http {
  const { headers: ownHeaders = {}, ca, connectTimeout = 10_000, idleTimeout = 60_000, retries = 0 } = options;
  for (const [name, value] of Object.entries({ connectTimeout, idleTimeout })) {
    if (value >= 1 && value <= MAX_TIMEOUT) continue;
    throw new VdiStreamError('USAGE', `${name} must be a number of milliseconds from 1 to ${MAX_TIMEOUT}`);
  }
  if (!Number.isSafeInteger(retries) || retries < 0) throw new VdiStreamError('USAGE', 'retries must be a whole number');
  const secret = checkHeaders(ownHeaders);
  const closing = new AbortController();
  let connection: Promise<Connection> | undefined;

  return {
    async request(address, { method = 'GET', headers = {}, signal } = {}) {
      let url = parseUrl(address);
      connection ??= trustedCertificates(ca).then((all) => ({ ca: all, connectTimeout, idleTimeout }));
      const signals = signal === undefined ? [closing.signal] : [signal, closing.signal];
      let own = secret;
      for (let hop = 0; ; hop++) {
        // The bytes as they are stored, with no content coding on top (RFC 9110, 12.5.3).
        const fields = { 'user-agent': 'vdistream', accept: '*/*', ...own, ...headers, 'accept-encoding': 'identity' };
        const answer = await exchange({ url, method, headers: fields }, await connection, signals);
        const { location } = answer.headers;
        if (!REDIRECTS.includes(answer.status) || location === undefined) return answer;
        await answer.close();
        if (hop === MAX_REDIRECTS) {
          throw new VdiStreamError('HTTP_REDIRECT', `${redactUrl(address)}: more than ${MAX_REDIRECTS} redirects`, {
            status: answer.status,
          });
        }
        const next = redirectTarget(url, location, answer.status);
        // Once dropped they stay dropped, for the other host may redirect back to an address of its choice.
        if (next.origin !== url.origin) own = {};
        url = next;
      }
    },
    async close() {
      closing.abort();
    },
  };
}

/** The typed error for a status that is no success. */
export function statusError(name: string, status: number): VdiStreamError {
  return new VdiStreamError(errorCodeOf(status), `${name}: the server answers with status ${status}`, { status });
}

function errorCodeOf(status: number): 'HTTP_AUTH' | 'HTTP_NOT_FOUND' | 'HTTP_SERVER' | 'HTTP_STATUS' {
  if (status === 401 || status === 403) return 'HTTP_AUTH';
  if (status === 404 || status === 410) return 'HTTP_NOT_FOUND';
  return status === 408 || status === 429 || status >= 500 ? 'HTTP_SERVER' : 'HTTP_STATUS';
}

/** Node's own certificates and these. Node takes a text without any for an empty list, so that is an error here. Throws USAGE. */
async function trustedCertificates(pem: string | undefined): Promise<readonly string[] | undefined> {
  if (pem === undefined) return undefined;
  const [{ rootCertificates }, { X509Certificate }] = await Promise.all([import('node:tls'), import('node:crypto')]);
  const given = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const wrong = (cause?: unknown): VdiStreamError =>
    new VdiStreamError('USAGE', 'the file of certificates holds none in PEM form', { cause });
  if (given.length === 0) throw wrong();
  try {
    for (const one of given) new X509Certificate(one);
  } catch (cause) {
    throw wrong(cause);
  }
  return [...rootCertificates, ...given];
}
