/** HTTP client: options, trusted certificates, redirects, and the error for each status. */

import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { NETWORK } from './address.ts';
import { type Connection, exchange, type HttpAnswer, type Method } from './exchange.ts';
import { checkHeaders, type HeaderFields, parseUrl, redactUrl, redirectTarget } from './url.ts';

export interface HttpOptions {
  /** Sent with every request to the first host only; values never appear in names, errors or logs. */
  readonly headers?: HeaderFields | undefined;
  /** PEM certificates to trust in addition to Node's own. Verification cannot be turned off. */
  readonly ca?: string | undefined;
  /** Milliseconds allowed for connecting, TLS handshake included; 10 s by default. */
  readonly connectTimeout?: number | undefined;
  /**
   * Milliseconds to wait for response headers, or for the next byte; 60 s by default, of a download 30 s for the next byte. Does not run
   * while the reader is slow.
   */
  readonly idleTimeout?: number | undefined;
  /** Retries per server in a row without a byte of progress; 5 by default. */
  readonly retries?: number | undefined;
}

interface RequestOptions {
  /** Redirects are followed only for GET and HEAD. */
  readonly method?: Method | undefined;
  /** Also sent to other hosts after a redirect, so nothing secret. */
  readonly headers?: HeaderFields | undefined;
  readonly body?: Uint8Array | Chunks | undefined;
  /** Milliseconds to wait for the response once the body has been sent; by default the idle timeout of all requests. */
  readonly answerTimeout?: number | undefined;
  /** Milliseconds to wait for the next byte of the response's body; by default as `answerTimeout`. */
  readonly bodyTimeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Http {
  /**
   * Resolves once the response headers have arrived, whatever the status; the caller reads the body to its end or closes it. Throws
   * USAGE, HTTP_CONNECT, HTTP_TLS, HTTP_REDIRECT, HTTP_DROPPED, CANCELLED, and HTTP_STATUS if the response is not HTTP.
   */
  request(url: string, options?: RequestOptions): Promise<HttpAnswer>;
  /** Cancels all requests in flight. */
  close(): Promise<void>;
}

/** Milliseconds. */
export const IDLE_TIMEOUT = 60_000;
const MAX_REDIRECTS = 5;
const REDIRECTS = [301, 302, 303, 307, 308];

/** Throws USAGE. Loads nothing and connects nowhere before the first request. */
export function createHttp(options: HttpOptions = {}, network = NETWORK): Http {
  const { headers: ownHeaders = {}, ca, connectTimeout = 10_000, idleTimeout = IDLE_TIMEOUT, retries = 0 } = options;
  if (!Number.isSafeInteger(retries) || retries < 0) throw new VdiStreamError('USAGE', 'retries must be a whole number');
  const secret = checkHeaders(ownHeaders);
  const closing = new AbortController();
  let connection: Promise<Omit<Connection, 'idleTimeout' | 'bodyTimeout'>> | undefined;

  return {
    async request(address, { method = 'GET', headers = {}, body, answerTimeout = idleTimeout, bodyTimeout = answerTimeout, signal } = {}) {
      let url = parseUrl(address);
      connection ??= trustedCertificates(ca).then((trusted) => ({ network, ca: trusted, connectTimeout }));
      const signals = signal === undefined ? [closing.signal] : [signal, closing.signal];
      let own = secret;
      // Set once a public server redirects, for all hops after it: none of them may be this host, whose services trust it.
      let refusalOf = (_: string): VdiStreamError | undefined => undefined;
      for (let hop = 0; ; hop++) {
        // Ask for the stored bytes, without a content coding (RFC 9110, 12.5.3).
        const fields = { 'user-agent': 'vdistream', accept: '*/*', ...own, ...headers, 'accept-encoding': 'identity' };
        const line = { url, method, headers: fields, body, refusalOf };
        const answer = await exchange(line, { ...(await connection), idleTimeout: answerTimeout, bodyTimeout }, signals);
        const { location } = answer.headers;
        if (!REDIRECTS.includes(answer.status) || location === undefined) return answer;
        await answer.close();
        if (method !== 'GET' && method !== 'HEAD') throw bodyRedirect(url, method, answer.status);
        if (hop === MAX_REDIRECTS) {
          throw new VdiStreamError('HTTP_REDIRECT', `${redactUrl(address)}: more than ${MAX_REDIRECTS} redirects`, {
            status: answer.status,
          });
        }
        const next = redirectTarget(url, location, answer.status);
        // Dropped for good: the other host could redirect back to a path of its choice.
        if (next.origin !== url.origin) own = {};
        if (answer.addresses.some((address) => network.scopeOf(address) === 'public')) {
          const from = redactUrl(url.href);
          refusalOf = (reached) => (network.scopeOf(reached) === 'host' ? ownAddress(from, reached, answer.status) : undefined);
        }
        url = next;
      }
    },
    async close() {
      closing.abort();
    },
  };
}

const ownAddress = (from: string, address: string, status: number): VdiStreamError =>
  new VdiStreamError('HTTP_REDIRECT', `${from} redirects to ${address}, a loopback or link-local address of this host`, { status });

/**
 * The body may be a stream that can be sent only once, and with an `Expect: 100-continue` that few servers support, a redirect would arrive
 * too late. curl -L fails likewise if it cannot rewind the body.
 */
const bodyRedirect = (url: URL, method: string, status: number): VdiStreamError =>
  new VdiStreamError('HTTP_REDIRECT', `${redactUrl(url.href)} redirects a ${method}, which is not followed`, { status });

/** The error for an HTTP status other than success. */
export function statusError(name: string, status: number): VdiStreamError {
  return new VdiStreamError(errorCodeOf(status), `${name}: HTTP status ${status}`, { status });
}

function errorCodeOf(status: number): 'HTTP_AUTH' | 'HTTP_NOT_FOUND' | 'HTTP_SERVER' | 'HTTP_STATUS' {
  if (status === 401 || status === 403) return 'HTTP_AUTH';
  if (status === 404 || status === 410) return 'HTTP_NOT_FOUND';
  return status === 408 || status === 429 || status >= 500 ? 'HTTP_SERVER' : 'HTTP_STATUS';
}

/** Node's certificates plus those in `pem`. Throws USAGE if it has none; Node would silently accept that. */
export async function trustedCertificates(pem: string | undefined): Promise<readonly string[] | undefined> {
  if (pem === undefined) return undefined;
  const [{ rootCertificates }, { X509Certificate }] = await Promise.all([import('node:tls'), import('node:crypto')]);
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const invalid = (cause?: unknown): VdiStreamError =>
    new VdiStreamError('USAGE', 'the CA file has no valid certificate in PEM format', { cause });
  if (certificates.length === 0) throw invalid();
  try {
    for (const certificate of certificates) new X509Certificate(certificate);
  } catch (cause) {
    throw invalid(cause);
  }
  return [...rootCertificates, ...certificates];
}
