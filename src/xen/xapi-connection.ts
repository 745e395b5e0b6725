/** Connections to the hosts of a pool: TLS, with a certificate that is trusted or pinned, which is checked before the first byte is sent. */

import { isIP } from 'node:net';
import type { SecureContext, TLSSocket } from 'node:tls';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import { trustedCertificates } from '../host/certificates.ts';
import { codeOf, errnoOf, reasonOf } from '../host/errno.ts';
import { redactUrl } from '../http/url.ts';
import type { XapiOptions } from './xapi-options.ts';

/** Which certificates are trusted. */
export interface Trust {
  /** Whether an authority must have signed them. */
  readonly byAuthority: boolean;
  /** As `parseFingerprint` returns them. */
  readonly fingerprints: readonly string[] | undefined;
  /** Made once, since Node's own certificates take a while to load. */
  context(): Promise<SecureContext>;
}

/** Throws USAGE. */
export function createTrust({ ca, fingerprints }: Pick<XapiOptions, 'ca' | 'fingerprints'>): Trust {
  let made: Promise<SecureContext> | undefined;
  async function create(): Promise<SecureContext> {
    const [{ createSecureContext }, trusted] = await Promise.all([import('node:tls'), trustedCertificates(ca)]);
    return createSecureContext(trusted === undefined ? {} : { ca: [...trusted] });
  }
  return {
    byAuthority: fingerprints === undefined || ca !== undefined,
    fingerprints: fingerprints?.map(parseFingerprint),
    context() {
      made ??= create();
      return made;
    },
  };
}

interface ConnectOptions {
  /** Milliseconds, TLS handshake included. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
}

/** Throws USAGE for a URL that is not `https://HOST`. Its query, user and password are not shown. */
export function parseXapiUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:') throw new VdiStreamError('USAGE', 'the address of a pool must have the form https://HOST');
  if (url.username !== '' || url.password !== '') {
    throw new VdiStreamError('USAGE', `${redactUrl(text)}: other users of this host can see a user name or password in a URL`);
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new VdiStreamError('USAGE', `${redactUrl(text)}: the address of a pool ends after the host, as in https://HOST`);
  }
  return url;
}

/** Hexadecimal digits in upper case, without colons. Throws USAGE. */
function parseFingerprint(text: string): string {
  const digits = text.replace(/^sha-?256[:= ]/i, '').replaceAll(':', '');
  if (/^[0-9a-f]{64}$/i.test(digits)) return digits.toUpperCase();
  throw new VdiStreamError('USAGE', 'a fingerprint must be the SHA-256 of a certificate: 64 hexadecimal digits');
}

/** Throws XAPI_TLS, XAPI_CONNECTION and CANCELLED. */
export async function connectTls(url: URL, trust: Trust, { timeout, signal }: ConnectOptions): Promise<TLSSocket> {
  throwIfCancelled(signal);
  const [{ connect }, secureContext] = await Promise.all([import('node:tls'), trust.context()]);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const socket = connect({
    host,
    port: Number(url.port || 443),
    ...(isIP(host) === 0 && { servername: host }),
    secureContext,
    // Checked below, where the fingerprint can be reported; before anything is sent.
    rejectUnauthorized: false,
  });
  const late = setTimeout(() => socket.destroy(new Error(`no connection within ${timeout / 1000} s`)), timeout);
  const cancel = (): void => void socket.destroy(new Error('cancelled'));
  signal?.addEventListener('abort', cancel, { once: true });
  if (signal?.aborted) cancel();
  try {
    await new Promise((resolve, reject) => socket.once('secureConnect', () => resolve(undefined)).once('error', reject));
  } catch (cause) {
    socket.destroy();
    throwIfCancelled(signal);
    throw connectionError(url, cause);
  } finally {
    clearTimeout(late);
    signal?.removeEventListener('abort', cancel);
  }
  // Whoever uses the socket sees its errors too.
  socket.on('error', () => {});
  const problem = problemOfCertificate(socket, trust);
  if (problem === undefined) return socket;
  socket.destroy();
  throw new VdiStreamError('XAPI_TLS', `${url.host}: ${problem}`);
}

/** The authority, the name and the dates count unless there are only fingerprints. */
function problemOfCertificate(socket: TLSSocket, { byAuthority, fingerprints }: Trust): string | undefined {
  const found = parseFingerprint(socket.getPeerCertificate().fingerprint256);
  if (byAuthority && !socket.authorized) {
    return `the certificate is not trusted (${socket.authorizationError}); its SHA-256 fingerprint is ${found}`;
  }
  return fingerprints?.includes(found) === false ? `the certificate has another SHA-256 fingerprint: ${found}` : undefined;
}

/** A lost or refused connection is XAPI_CONNECTION; what TLS reports is XAPI_TLS. */
function connectionError(url: URL, cause: unknown): VdiStreamError {
  const code = codeOf(cause);
  const isOfTls = code !== '' && (!/^E[A-Z0-9_]+$/.test(code) || /^(?:EPROTO|ERR_)/.test(code));
  const what = isOfTls ? 'TLS failed' : 'cannot connect';
  return new VdiStreamError(isOfTls ? 'XAPI_TLS' : 'XAPI_CONNECTION', `${url.host}: ${what}: ${reasonOf(cause)}`, {
    errno: errnoOf(cause),
    cause,
  });
}
