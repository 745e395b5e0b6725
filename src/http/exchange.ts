/** One request and its answer, on a connection of its own that ends with it. The only file that knows the HTTP client. */

import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import type { Chunks } from '../cursor.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import { errnoOf } from '../host/errno.ts';
import { type AnswerHead, type Incoming, type Phase, receive } from './incoming.ts';
import { type HeaderFields, redactUrl } from './url.ts';

export interface Connection {
  /** All certificates to trust; undefined for the ones that Node brings. */
  readonly ca: readonly string[] | undefined;
  /** Milliseconds until a connection stands, with TLS. */
  readonly connectTimeout: number;
  /** Milliseconds without a byte, or without the headers of an answer. */
  readonly idleTimeout: number;
}

export interface HttpAnswer extends AnswerHead {
  /** Where the answer comes from, after redirects. */
  readonly url: string;
  /** Can be read once. What has arrived before a failure is given before that is thrown: HTTP_DROPPED, or at once CANCELLED. */
  readonly body: Chunks;
  /** Ends the connection at once, also while the body is being waited for, which then throws CANCELLED. */
  close(): Promise<void>;
}

interface RequestLine {
  readonly url: URL;
  readonly method: 'GET' | 'HEAD';
  readonly headers: HeaderFields;
}

/**
 * Resolves with the headers of the answer, whatever its status. Throws HTTP_CONNECT, HTTP_TLS, HTTP_DROPPED, HTTP_STATUS for what is no
 * HTTP, and CANCELLED once one of `signals` fires.
 */
export async function exchange(
  { url, method, headers }: RequestLine,
  connection: Connection,
  signals: readonly AbortSignal[],
): Promise<HttpAnswer> {
  // Loading it takes some 70 ms, as long as all the rest of a short run.
  const { Client, buildConnector } = await import('undici');
  const { ca, connectTimeout, idleTimeout } = connection;
  const failed = (cause: unknown): void => incoming.end(failure(cause, redactUrl(url.href), incoming.phase, connection));

  /** What the client still holds comes first: if the whole answer is in it, that counts, whatever became of the connection. */
  function onEnd(reset: Error | undefined): void {
    incoming.lift();
    if (reset !== undefined) failed(reset);
  }

  const stop = new AbortController();
  const connect = buildConnector({
    ...(ca === undefined ? {} : { ca: [...ca] }),
    rejectUnauthorized: true, // or an environment variable could turn it off
    timeout: connectTimeout,
    signal: stop.signal,
  });
  const client = new Client(url.origin, {
    connect: (options, callback) =>
      connect(options, (...connected) => {
        if (connected[0] === null) watchEnd(connected[1], onEnd);
        callback(...connected);
      }),
    headersTimeout: idleTimeout,
    bodyTimeout: idleTimeout,
  });
  const incoming = receive(signals, () => {
    stop.abort();
    void client.destroy();
  });
  if (!incoming.ended) client.dispatch({ path: url.pathname + url.search, method, headers }, handlerOf(incoming, failed));
  const head = await incoming.head();
  return { ...head, url: url.href, body: incoming.body(), close: async () => incoming.cancel() };
}

/** The client's events, as those of the answer. */
const handlerOf = (incoming: Incoming, failed: (cause: unknown) => void): Dispatcher.DispatchHandler => ({
  onRequestStart: (control) => incoming.sent(control),
  onResponseStart(_, status, fields) {
    if (status < 200) return;
    incoming.begin({ status, headers: Object.fromEntries(Object.entries(fields).map(([field, value]) => [field, String(value)])) });
  },
  onResponseData: (_, chunk) => incoming.push(chunk),
  onResponseEnd: () => incoming.end(),
  onResponseError: (_, cause) => failed(cause),
});

/**
 * Calls `onEnd` when the server ends the connection, before the client's own listener, and makes up for three mistakes. Two are of undici 7
 * (nodejs/undici#5360, fixed in 8, which needs Node 22): its parser must not be paused when the connection ends, or be paused again, or an
 * assertion that nobody can catch ends the process; and it takes a reset for the end of an answer without a length, so that part of an image
 * would pass for the whole. The third is of libuv: a reset that it sees with the last bytes is reported as an end. Then the connection has no
 * peer any more, whose address the kernel would know (getpeername(2), ENOTCONN).
 */
function watchEnd(socket: Socket, onEnd: (reset: Error | undefined) => void): void {
  socket.on('end', () => onEnd(socket.remoteAddress === undefined ? new Error('read ECONNRESET') : undefined));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNRESET') error.code = 'RESET';
  });
}

/** The typed error. After the headers every failure is a drop, also what TLS finds damaged. */
function failure(cause: unknown, name: string, phase: Phase, { connectTimeout, idleTimeout }: Connection): VdiStreamError {
  const [kind, code] = cause instanceof Error ? [cause.name, 'code' in cause ? String(cause.code) : ''] : ['', ''];
  // The parser's error holds what it could not parse, and a server that echoes its request would put a token there.
  const where = kind === 'HTTPParserError' ? {} : { cause, errno: errnoOf(cause) };
  if (code === 'UND_ERR_CONNECT_TIMEOUT') {
    return new VdiStreamError('HTTP_CONNECT', `${name}: no connection within ${inSeconds(connectTimeout)}`, where);
  }
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new VdiStreamError('HTTP_DROPPED', `${name}: the server has sent nothing for ${inSeconds(idleTimeout)}`, where);
  }
  if (phase === 'body') return new VdiStreamError('HTTP_DROPPED', `${name}: the connection was lost: ${reasonOf(cause)}`, where);
  if (TLS.test(code)) return new VdiStreamError('HTTP_TLS', `${name}: no secure connection: ${reasonOf(cause)}`, where);
  if (NO_HTTP.includes(kind)) {
    return new VdiStreamError('HTTP_STATUS', `${name}: what the server answers is not HTTP: ${reasonOf(cause)}`, where);
  }
  if (phase === 'headers') return new VdiStreamError('HTTP_DROPPED', `${name}: the connection was lost: ${reasonOf(cause)}`, where);
  return new VdiStreamError('HTTP_CONNECT', `${name}: cannot connect: ${reasonOf(cause)}`, where);
}

/** How Node names what OpenSSL finds wrong with a certificate (X509_V_ERR_*) or with the protocol. */
const TLS = /CERT|CRL|SIGNATURE|^(ERR_(TLS|SSL|OSSL)|EPROTO$|INVALID_(CA|PURPOSE)|PATH_LENGTH|HOSTNAME_MISMATCH|UNABLE_TO)/;
/** The last one is for several lengths that differ, as no body has come yet. */
const NO_HTTP = ['HTTPParserError', 'HeadersOverflowError', 'ResponseContentLengthMismatchError'];

const inSeconds = (milliseconds: number): string => `${milliseconds / 1000} s`;

/** Each address of a host fails for a reason of its own, and Node's error for all of them has no text. */
function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return cause.errors.map(reasonOf).join('; ');
  return messageOf(cause);
}
