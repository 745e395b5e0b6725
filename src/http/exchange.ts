/** One request and its answer, on a connection of its own that ends with it. The only file that knows the HTTP client. */

import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import type { Chunks } from '../cursor.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import { errnoOf } from '../host/errno.ts';
import { type HeaderFields, nameOf } from './url.ts';

export interface Connection {
  /** All certificates to trust; undefined for the ones that Node brings. */
  readonly ca: readonly string[] | undefined;
  /** Milliseconds. */
  readonly connectTimeout: number;
  readonly idleTimeout: number;
}

export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case; several values are joined with commas. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Where the answer comes from, after redirects. */
  readonly url: string;
  /** Can be read once. What has arrived before a failure is given before that is thrown: HTTP_DROPPED, or at once CANCELLED. */
  readonly body: Chunks;
  /** Ends the connection at once, also while the body is being waited for, which then throws CANCELLED. */
  close(): Promise<void>;
}

export interface RequestLine {
  readonly url: URL;
  readonly method: 'GET' | 'HEAD';
  readonly headers: HeaderFields;
}

/** What has arrived and was not asked for yet: enough that the socket is never waited for in small steps. */
const AHEAD = 256 * 1024;
/** About what an object of each piece takes beside its bytes: a server may send them one by one. */
const PIECE = 256;

/** Resolves with the headers of the answer, whatever its status. Throws what `failure` says, and CANCELLED once one of `signals` fires. */
export async function exchange(
  { url, method, headers }: RequestLine,
  connection: Connection,
  signals: readonly AbortSignal[],
): Promise<HttpAnswer> {
  // Loading it takes some 70 ms, as long as all the rest of a short run.
  const { Client, buildConnector } = await import('undici');
  const name = nameOf(url.href);
  const stop = new AbortController();
  const arrived: Uint8Array[] = [];
  const state: State = { phase: 'connect', held: 0, over: false, head: undefined, end: undefined, control: undefined, wake() {} };

  const { ca, connectTimeout, idleTimeout } = connection;
  const connect = buildConnector({
    ...(ca === undefined ? {} : { ca: [...ca] }),
    rejectUnauthorized: true, // or an environment variable could turn it off
    timeout: connectTimeout,
    signal: stop.signal,
  });
  const client = new Client(url.origin, {
    connect: (options, done) =>
      connect(options, (...connected) => {
        if (connected[0] === null) steady(connected[1], ended);
        done(...connected);
      }),
    headersTimeout: idleTimeout,
    bodyTimeout: idleTimeout,
  });

  /** What the client still holds comes first: if the whole answer is in it, that counts, whatever became of the connection. */
  function ended(reset: Error | undefined): void {
    state.over = true;
    state.control?.resume();
    if (reset !== undefined) settle(failure(reset, name, state.phase, connection));
  }

  /** The first outcome counts, and the connection goes with it. */
  function settle(error?: VdiStreamError): void {
    if (state.end !== undefined) return;
    state.end = { error };
    for (const signal of signals) signal.removeEventListener('abort', cancel);
    state.wake();
    // The client is in the middle of its own work when it calls.
    queueMicrotask(() => {
      stop.abort();
      void client.destroy();
    });
  }

  function cancel(): void {
    // What has come whole but was not taken must not look like an end.
    if (arrived.splice(0).length > 0) state.end = undefined;
    const cause: unknown = signals.find(({ aborted }) => aborted)?.reason;
    settle(new VdiStreamError('CANCELLED', 'cancelled', { cause }));
  }

  const woken = (): Promise<void> =>
    new Promise((resolve) => {
      state.wake = resolve;
    });

  async function* body(): Chunks {
    try {
      for (;;) {
        const chunk = arrived.shift();
        if (chunk !== undefined) {
          state.held -= chunk.length + PIECE;
          if (state.held < AHEAD) state.control?.resume();
          yield chunk;
        } else if (state.end === undefined) await woken();
        else if (state.end.error === undefined) return;
        else throw state.end.error;
      }
    } finally {
      cancel();
    }
  }

  for (const signal of signals) signal.addEventListener('abort', cancel);
  if (signals.some(({ aborted }) => aborted)) cancel();
  else {
    client.dispatch(
      { path: url.pathname + url.search, method, headers },
      {
        onRequestStart(control) {
          state.phase = 'headers';
          state.control = control;
        },
        onResponseStart(_, status, fields) {
          if (status < 200) return;
          state.phase = 'body';
          state.head = { status, headers: Object.fromEntries(Object.entries(fields).map(([field, value]) => [field, String(value)])) };
          state.wake();
        },
        onResponseData(control, chunk) {
          arrived.push(chunk);
          state.held += chunk.length + PIECE;
          if (state.held >= AHEAD && !state.over) control.pause();
          state.wake();
        },
        onResponseEnd: () => settle(),
        onResponseError: (_, cause) => settle(failure(cause, name, state.phase, connection)),
      },
    );
  }
  while (state.head === undefined) {
    if (state.end?.error !== undefined) throw state.end.error;
    await woken();
  }
  return { ...state.head, url: url.href, body: body(), close: async () => cancel() };
}

type Phase = 'connect' | 'headers' | 'body';

interface State {
  phase: Phase;
  /** Bytes. */
  held: number;
  /** The server has ended the connection, and all that came through it is here. */
  over: boolean;
  head: Pick<HttpAnswer, 'status' | 'headers'> | undefined;
  end: { readonly error: VdiStreamError | undefined } | undefined;
  control: Dispatcher.DispatchController | undefined;
  /** Whoever waits for something to happen here. There is never more than one. */
  wake(): void;
}

/**
 * Mends what is wrong with answers that end their connection; these listeners are called before the client's own. Two mistakes are of
 * undici 7 (nodejs/undici#5360, mended in 8, which needs Node 22): its parser must not be paused when the connection ends, or be paused
 * again, or an assertion takes the process down that nobody can catch; and it takes a reset for the end of an answer without a length, so
 * that part of an image would pass for the whole. The third is of libuv: a reset that it sees with the last bytes it tells as an end. Then
 * the connection has no other side any more, whose address the kernel would know (getpeername(2), ENOTCONN).
 */
function steady(socket: Socket, ended: (reset: Error | undefined) => void): void {
  socket.on('end', () => ended(socket.remoteAddress === undefined ? new Error('read ECONNRESET') : undefined));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNRESET') error.code = 'RESET';
  });
}

/** Before the headers the phase tells what is wrong; behind them everything is a drop, also what TLS finds damaged. */
function failure(cause: unknown, name: string, phase: Phase, { connectTimeout, idleTimeout }: Connection): VdiStreamError {
  const [kind, code] = cause instanceof Error ? [cause.name, 'code' in cause ? String(cause.code) : ''] : ['', ''];
  // What the parser does not understand is in its error, and a server that sends back what it was sent would show a token that way.
  const where = kind === 'HTTPParserError' ? {} : { cause, errno: errnoOf(cause) };
  if (code === 'UND_ERR_CONNECT_TIMEOUT') {
    return new VdiStreamError('HTTP_CONNECT', `${name}: no connection within ${seconds(connectTimeout)}`, where);
  }
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new VdiStreamError('HTTP_DROPPED', `${name}: the server has sent nothing for ${seconds(idleTimeout)}`, where);
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
/** The last one is of several lengths, as no body has come yet. */
const NO_HTTP = ['HTTPParserError', 'HeadersOverflowError', 'ResponseContentLengthMismatchError'];

const seconds = (milliseconds: number): string => `${milliseconds / 1000} s`;

/** Of several addresses of a host each has failed for a reason of its own, and the error for all of them has no text. */
function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return cause.errors.map(reasonOf).join('; ');
  return messageOf(cause);
}
