/**
 * Exchange: one request and its response, on a connection of its own. The response may arrive while the body of the request is still being
 * sent. The only file that imports undici.
 */

import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import type { Chunks } from '../cursor.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import { codeOf, errnoOf, reasonOf } from '../host/errno.ts';
import { checkedLookup, literalAddress, type Network } from './address.ts';
import { type AnswerHead, type Incoming, type Phase, receive } from './incoming.ts';
import { type HeaderFields, redactUrl } from './url.ts';

export interface Connection {
  readonly network: Network;
  /** All certificates to trust; undefined for Node's defaults. */
  readonly ca: readonly string[] | undefined;
  /** Milliseconds allowed for connecting, TLS handshake included. */
  readonly connectTimeout: number;
  /** Milliseconds to wait for response headers. */
  readonly idleTimeout: number;
  /** Milliseconds to wait for the next byte of the body. */
  readonly bodyTimeout: number;
}

export interface HttpAnswer extends AnswerHead {
  /** The URL after redirects. */
  readonly url: string;
  /** The addresses of the server, one of which it was reached at. */
  readonly addresses: readonly string[];
  /** Can be read once. Yields everything received before it throws HTTP_DROPPED; throws CANCELLED immediately. */
  readonly body: Chunks;
  /** Closes the connection immediately; a pending read of the body throws CANCELLED. */
  close(): Promise<void>;
}

export type Method = 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';

interface RequestLine {
  readonly url: URL;
  readonly method: Method;
  readonly headers: HeaderFields;
  /** Chunks are sent with the length that `headers` announce, or as chunks (RFC 9112, 7.1) if they announce none. */
  readonly body?: Uint8Array | Chunks | undefined;
  /** The error for an address that must not be connected to. */
  readonly refusalOf: (address: string) => VdiStreamError | undefined;
}

/**
 * Resolves once the response headers have arrived, whatever the status. Throws HTTP_CONNECT, HTTP_TLS, HTTP_DROPPED, HTTP_STATUS if the
 * response is not HTTP, CANCELLED once one of `signals` fires, and the error for an address that is refused; nothing is sent there.
 */
export async function exchange(
  { url, method, headers, body, refusalOf }: RequestLine,
  connection: Connection,
  signals: readonly AbortSignal[],
): Promise<HttpAnswer> {
  // Not from the socket: it keeps its peer's address once that has been read, and `watchEnd` needs to see when it is gone.
  const addresses: string[] = [];
  const check = (address: string): VdiStreamError | undefined => {
    addresses.push(address);
    return refusalOf(address);
  };
  const literal = literalAddress(url);
  const refusal = literal === undefined ? undefined : check(literal);
  if (refusal !== undefined) throw refusal;
  // Loading undici takes about 70 ms, as long as the rest of a short run.
  const { Client, buildConnector } = await import('undici');
  const { ca, connectTimeout, idleTimeout, bodyTimeout, network } = connection;
  const failed = (cause: unknown): void => incoming.end(failure(cause, redactUrl(url.href), incoming.phase, connection));

  /** Drains what the client has buffered first: if the response is complete, the reset no longer matters. */
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
    lookup: checkedLookup(network.lookup, check),
  });
  const client = new Client(url.origin, {
    connect: (options, callback) =>
      connect(options, (...connected) => {
        if (connected[0] === null) {
          watchEnd(connected[1], onEnd);
          readBeforeFailing(connected[1]);
        }
        callback(...connected);
      }),
    headersTimeout: idleTimeout,
    bodyTimeout,
  });
  const incoming = receive(signals, () => {
    stop.abort();
    void client.destroy();
  });
  const request: Dispatcher.DispatchOptions = { path: url.pathname + url.search, method, headers };
  // Assigned apart, because undici accepts every async iterable, but its types only those of Node's streams.
  Object.assign(request, { body });
  if (!incoming.ended) client.dispatch(request, handlerOf(incoming, failed));
  const head = await incoming.head();
  return { ...head, url: url.href, addresses, body: incoming.body(), close: async () => incoming.cancel() };
}

/** Passes undici's events on to the response. */
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
 * Calls `onEnd` when the server closes the connection, before undici's own listener, and works around three bugs. Two are in undici 7
 * (nodejs/undici#5360, fixed in 8, which needs Node 22): if its parser is paused when the connection ends, or again afterwards, an assertion
 * that nobody can catch ends the process; and it treats a reset as the end of a response without a length, so that a partial image would
 * pass for a whole one. The third is in libuv: it reports a reset that arrives with the last bytes as an end. The socket then has no peer
 * address any more (getpeername(2), ENOTCONN).
 */
function watchEnd(socket: Socket, onEnd: (reset: Error | undefined) => void): void {
  socket.on('end', () => onEnd(socket.remoteAddress === undefined ? new Error('read ECONNRESET') : undefined));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNRESET') error.code = 'RESET';
  });
}

/**
 * Holds back the error of a write until what has arrived is read. A server that refuses a body and closes the connection makes the next
 * write fail, with EPIPE or ECONNRESET, and Node then drops what it has not read: the refusal. Linux keeps it readable
 * (tcp_recvmsg_locked in net/ipv4/tcp.c).
 */
function readBeforeFailing(socket: Socket): void {
  type Callback = (error?: Error | null) => void;
  const afterReading =
    (callback: Callback): Callback =>
    (error) => {
      if (!error || socket.destroyed || socket.readableEnded) return callback(error);
      let isReported = false;
      const report = (): void => {
        if (!isReported) callback(error);
        isReported = true;
      };
      socket.once('end', report).once('close', report);
    };
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  socket._write = (chunk, encoding, callback) => write(chunk, encoding, afterReading(callback));
  if (writev !== undefined) socket._writev = (chunks, callback) => writev(chunks, afterReading(callback));
}

/** How a body ended before its last byte, without an error of the system or of the network: the connection was `closed`, or the server fell `silent`. */
export type EarlyEnd = 'closed' | 'silent';

/** Undefined for any other error. */
export function earlyEndOf({ cause }: VdiStreamError): EarlyEnd | undefined {
  const code = codeOf(cause);
  if (code === BODY_TIMEOUT) return 'silent';
  return code === 'UND_ERR_SOCKET' && messageOf(cause) === 'other side closed' ? 'closed' : undefined;
}

const BODY_TIMEOUT = 'UND_ERR_BODY_TIMEOUT';

/** The typed error. After the headers, every failure is a drop, TLS errors included. */
function failure(cause: unknown, name: string, phase: Phase, { connectTimeout, idleTimeout, bodyTimeout }: Connection): VdiStreamError {
  if (cause instanceof VdiStreamError) return cause; // of an address that is refused
  const [kind, code] = cause instanceof Error ? [cause.name, 'code' in cause ? String(cause.code) : ''] : ['', ''];
  // The parser's error holds the bytes that it could not parse: a token, if the server echoes the request.
  const where = kind === 'HTTPParserError' ? {} : { cause, errno: errnoOf(cause) };
  if (code === 'UND_ERR_CONNECT_TIMEOUT') {
    return new VdiStreamError('HTTP_CONNECT', `${name}: no connection within ${inSeconds(connectTimeout)}`, where);
  }
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === BODY_TIMEOUT) {
    const time = inSeconds(code === BODY_TIMEOUT ? bodyTimeout : idleTimeout);
    return new VdiStreamError('HTTP_DROPPED', `${name}: the server sent nothing for ${time}`, where);
  }
  if (phase === 'body') return new VdiStreamError('HTTP_DROPPED', `${name}: the connection was lost: ${reasonOf(cause)}`, where);
  if (NO_TLS.test(code) || NO_TLS.test(reasonOf(cause))) {
    const advice = 'Use http:// if that is what the server speaks there, or the port at which it speaks https.';
    return new VdiStreamError('HTTP_TLS', `${name}: the server does not speak TLS on this port`, { ...where, advice });
  }
  if (TLS.test(code)) return new VdiStreamError('HTTP_TLS', `${name}: TLS failed: ${reasonOf(cause)}`, where);
  if (NO_HTTP.includes(kind)) {
    return new VdiStreamError('HTTP_STATUS', `${name}: the response is not valid HTTP: ${reasonOf(cause)}`, where);
  }
  if (phase === 'headers') return new VdiStreamError('HTTP_DROPPED', `${name}: the connection was lost: ${reasonOf(cause)}`, where);
  return new VdiStreamError('HTTP_CONNECT', `${name}: cannot connect: ${reasonOf(cause)}`, where);
}

/** Node's codes for OpenSSL's certificate errors (X509_V_ERR_*) and protocol errors. */
const TLS = /CERT|CRL|SIGNATURE|^(ERR_(TLS|SSL|OSSL)|EPROTO$|INVALID_(CA|PURPOSE)|PATH_LENGTH|HOSTNAME_MISMATCH|UNABLE_TO)/;
/** What the bytes of another protocol look like to OpenSSL; up to version 3.0 the code is EPROTO, and only the text says so. */
const NO_TLS = /wrong.version.number|packet.length.too.long|ERR_SSL_HTTP_REQUEST/i;
/** The last one comes from conflicting Content-Length fields: no body has arrived yet. */
const NO_HTTP = ['HTTPParserError', 'HeadersOverflowError', 'ResponseContentLengthMismatchError'];

const inSeconds = (milliseconds: number): string => `${milliseconds / 1000} s`;
