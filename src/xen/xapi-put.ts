/**
 * The connection that a disk is sent on: an HTTP PUT whose body begins once the host has attached the VDI, which it shows by answering 200.
 * The body has neither a length nor a transfer coding, of which XAPI refuses any (xen-api: ocaml/xapi/import_raw_vdi.ml). It ends with what
 * is in it, and then the host closes the connection.
 */

import type { ClientRequest, IncomingMessage } from 'node:http';
import { messageOf, VdiStreamError } from '../errors.ts';
import { orCancelled } from '../host/cancel.ts';
import { connectTls, type Trust } from './xapi-connection.ts';

export interface PutBody {
  /** Resolves once the socket has taken all pieces, which may change then. One call at a time. Throws XAPI_CONNECTION and CANCELLED. */
  send(...pieces: readonly Uint8Array[]): Promise<void>;
  /** Resolves with what the host has sent, once it has closed the connection. No bytes may follow. */
  end(): Promise<string>;
  /** Closes the connection. */
  close(): void;
}

interface PutOptions {
  readonly trust: Trust;
  /** Milliseconds for the host to attach the VDI, and without a byte that it accepts or sends. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
}

const CONNECT_TIMEOUT = 10_000;
const MAX_REDIRECTS = 2;

/** `path`: with a query that no message shows. Throws XAPI_TLS, XAPI_CONNECTION, XAPI_LOGIN, XAPI_FAILED and CANCELLED. */
export async function openPut(first: URL, path: string, options: PutOptions): Promise<PutBody> {
  let url = first;
  for (let hop = 0; ; hop++) {
    const opened = await putTo(url, path, options);
    if ('put' in opened) return opened.put;
    if (hop === MAX_REDIRECTS) throw new VdiStreamError('XAPI_FAILED', `${first.host}: more than ${MAX_REDIRECTS} redirects`);
    url = redirected(url, opened.location);
  }
}

/** Only the host is taken from the location: another path could make a session do something else. */
function redirected(from: URL, location: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (to?.protocol === 'https:' && to.username === '' && to.password === '') return new URL(to.origin);
  throw new VdiStreamError('XAPI_FAILED', `${from.host} redirects to an address that is refused`);
}

async function putTo(url: URL, path: string, options: PutOptions): Promise<{ readonly put: PutBody } | { readonly location: string }> {
  const { trust, timeout, signal } = options;
  const socket = await connectTls(url, trust, { timeout: Math.min(timeout, CONNECT_TIMEOUT), signal });
  const { request } = await import('node:http');
  const sent = request({ method: 'PUT', path, headers: { host: url.host, connection: 'close' }, createConnection: () => socket });
  sent.removeHeader('transfer-encoding');
  sent.on('error', () => {}); // reported by what waits for it
  const responded = new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve);
    sent.once('error', reject);
    sent.once('close', () => reject(new Error('the host closed the connection')));
  });
  sent.flushHeaders();
  const late = setTimeout(() => socket.destroy(new Error(`the host did not attach the VDI within ${timeout / 1000} s`)), timeout);
  try {
    const response = await orCancelled(responded, signal);
    const { statusCode: status = 0, headers } = response;
    if (status === 200) return { put: startBody(url, sent, response, options) };
    socket.destroy();
    if ([301, 302, 307].includes(status) && headers.location !== undefined) return { location: headers.location };
    const code = status === 401 || status === 403 ? 'XAPI_LOGIN' : 'XAPI_FAILED';
    throw new VdiStreamError(code, `${url.host}: the host refuses the disk: HTTP status ${status}`, { status });
  } catch (cause) {
    socket.destroy();
    throw cause instanceof VdiStreamError ? cause : lost(url, cause);
  } finally {
    clearTimeout(late);
  }
}

const lost = (url: URL, cause: unknown): VdiStreamError =>
  new VdiStreamError('XAPI_CONNECTION', `${url.host}: the transfer lost its connection: ${messageOf(cause)}`, { cause });

/** What the host says after an error, in characters. */
const MAX_TEXT = 4096;

function startBody(url: URL, sent: ClientRequest, response: IncomingMessage, { timeout, signal }: PutOptions): PutBody {
  let text = '';
  let isEnding = false;
  let outcome: { readonly error: unknown } | 'ended' | undefined;
  /** Of the call that waits. */
  let wake = (): void => {};

  function settle(reached: NonNullable<typeof outcome>): void {
    outcome ??= reached;
    signal?.removeEventListener('abort', cancel);
    wake();
    if (outcome !== 'ended') sent.destroy();
  }
  const fail = (error: unknown): void => settle({ error });
  const cancel = (): void => fail(new VdiStreamError('CANCELLED', 'cancelled', { cause: signal?.reason }));

  signal?.addEventListener('abort', cancel, { once: true });
  if (signal?.aborted) cancel();
  response.setEncoding('latin1').on('data', (chunk: string) => {
    text = (text + chunk).slice(0, MAX_TEXT);
  });
  response.once('end', () => {
    if (isEnding) settle('ended');
    else fail(lost(url, new Error(text === '' ? 'the host closed it before the end' : `the host says ${JSON.stringify(firstLine(text))}`)));
  });
  response.once('error', (cause) => fail(lost(url, cause)));
  sent.once('error', (cause) => fail(lost(url, cause)));
  sent.once('close', () => fail(lost(url, new Error('closed'))));

  /** Resolves when `begin` calls back, or the connection has ended. */
  async function waitFor(begin: (done: () => void) => void): Promise<void> {
    const stalled = setTimeout(() => fail(lost(url, new Error(`the host accepted no byte for ${timeout / 1000} s`))), timeout);
    await new Promise<void>((resolve) => {
      wake = resolve;
      if (outcome === undefined) begin(resolve);
      else resolve();
    });
    clearTimeout(stalled);
    if (outcome !== undefined && outcome !== 'ended') throw outcome.error;
  }

  return {
    send: (...pieces) =>
      waitFor((done) => {
        const [last = new Uint8Array(0), ...others] = pieces.toReversed();
        for (const piece of others.reverse()) sent.write(piece);
        sent.write(last, (error) => (error ? fail(lost(url, error)) : done()));
      }),
    async end() {
      isEnding = true;
      await waitFor(() => sent.end());
      return text;
    },
    close: () => fail(new VdiStreamError('CANCELLED', 'the transfer is closed')),
  };
}

const firstLine = (text: string): string => (text.split(/[\r\n]/)[0] ?? '').slice(0, 100);
