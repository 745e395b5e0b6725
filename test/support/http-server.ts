/** A web server that can be made to fail in every way that servers, networks and proxies fail, and that counts requests. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createRawServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Certificate } from './certificates.ts';

/** What is done with one request. By default it is answered as RFC 9110 says, ranges included. */
export interface Reply {
  /** Instead of the server's own. */
  readonly image?: Uint8Array;
  /** Answers with this status and no image. */
  readonly status?: number;
  /** Besides the ones that go without saying; undefined leaves one of those out. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Answers with the whole image whatever was asked. */
  readonly noRange?: boolean;
  /** Sends a range even if If-Range requests the whole. */
  readonly blind?: boolean;
  /** Begins that many bytes after the requested one, but never before the first, and says so. */
  readonly shift?: number;
  /** What Content-Range says to be the length. */
  readonly total?: string;
  /** Without Content-Length. */
  readonly chunked?: boolean;
  /** Ends the connection without an answer. */
  readonly refuse?: boolean;
  /** Body bytes until the connection is closed, or reset, or stalls. */
  readonly cut?: number;
  readonly how?: 'end' | 'reset' | 'stall';
}

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Where the body began in the image. */
  start: number;
  /** Body bytes that the kernel has taken. */
  sent: number;
  /** Resolves when the connection is closed, by whichever side. */
  readonly closed: Promise<void>;
}

export interface ServerOptions {
  readonly image?: Uint8Array;
  /** Validators and the like, sent with 200 and 206. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly reply?: (request: Seen, number: number) => Reply | Promise<Reply>;
  readonly tls?: Certificate;
  /** Bytes for each write; the kernel accepts one after the other. */
  readonly piece?: number;
}

export interface TestServer {
  readonly port: number;
  readonly requests: readonly Seen[];
  url(path?: string): string;
  /** Body bytes, of all requests. */
  sent(): number;
  /** Connections that are open. */
  connections(): number;
  /** Resolves once there is none. */
  idle(): Promise<void>;
  /** Before the test is over. */
  close(): Promise<void>;
}

/** Closed when the test is over, with whatever is still connected. */
export async function httpServer(options: ServerOptions = {}): Promise<TestServer> {
  const requests: Seen[] = [];
  const { tls } = options;
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const seen: Seen = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      start: 0,
      sent: 0,
      closed: new Promise((resolve) => request.socket.once('close', () => resolve())),
    };
    requests.push(seen);
    answer(options, seen, requests.length - 1, response).catch(() => response.socket?.destroy());
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  const listens = await listening(server, tls !== undefined);
  const { port } = listens;
  return {
    ...listens,
    requests,
    url: (path = '/image.ova') => `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}${path}`,
    sent: () => requests.reduce((sum, { sent }) => sum + sent, 0),
  };
}

/** For what no decent server says: `talk` gets each connection when the request has come. */
export async function rawServer(
  talk: (socket: Socket, number: number, request: string) => void,
): Promise<Omit<TestServer, 'requests' | 'sent'>> {
  let number = 0;
  const server = createRawServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (request) => talk(socket, number++, String(request)));
  });
  const listens = await listening(server, false);
  const { port } = listens;
  return { ...listens, url: (path = '/image.ova') => `http://127.0.0.1:${port}${path}` };
}

/** A port without a listener: not one of those that the kernel hands out, or a server of another test could have it a moment later. */
export const closedPort = (): number => 1;

async function listening(server: Server, secure: boolean): Promise<Pick<TestServer, 'port' | 'connections' | 'idle' | 'close'>> {
  const open = new Set<Socket>();
  server.on(secure ? 'secureConnection' : 'connection', (socket: Socket) => {
    open.add(socket);
    socket.on('error', () => {}); // the other side may leave as it likes
    socket.once('close', () => open.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  async function close(): Promise<void> {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of open) socket.destroy();
    await closed;
  }
  onTestFinished(close);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  async function idle(): Promise<void> {
    for (const socket of open) await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  }
  return { port: address.port, connections: () => open.size, idle, close };
}

async function answer(options: ServerOptions, seen: Seen, number: number, response: ServerResponse): Promise<void> {
  const reply = (await options.reply?.(seen, number)) ?? {};
  const { socket } = response;
  if (socket === null) return;
  if (reply.refuse) return void socket.destroy();
  const own: Fields = { ...options.headers, ...reply.headers };
  if (reply.status !== undefined) return void response.writeHead(reply.status, present(own)).end('the answer of the server');

  const image = reply.image ?? options.image ?? new Uint8Array(0);
  const range = /^bytes=(\d+)-$/.exec(String(seen.headers.range ?? ''));
  const condition = seen.headers['if-range'];
  const conditionHolds = reply.blind || condition === undefined || [own.etag, own['last-modified']].includes(String(condition));
  const partial = range !== null && !reply.noRange && conditionHolds;
  const start = partial ? Math.max(0, Number(range[1]) + (reply.shift ?? 0)) : 0;
  const total = reply.total ?? image.length;
  if (partial && start >= image.length) return void response.writeHead(416, present({ 'content-range': `bytes */${total}`, ...own })).end();
  const length: Fields = reply.chunked ? {} : { 'content-length': String(image.length - start) };
  const part: Fields = partial ? { 'content-range': `bytes ${start}-${image.length - 1}/${total}` } : {};
  response.writeHead(partial ? 206 : 200, present({ ...length, ...part, ...own }));
  response.flushHeaders();
  seen.start = start;
  if (seen.method === 'HEAD') return void response.end();

  const stop = Math.min(image.length, start + Math.floor(reply.cut ?? Number.POSITIVE_INFINITY));
  for (let at = start; at < stop; ) {
    const bytes = image.subarray(at, Math.min(at + (options.piece ?? 65_536), stop));
    await new Promise<void>((resolve, reject) => {
      socket.once('close', reject);
      response.write(bytes, (error) => {
        socket.off('close', reject);
        return error ? reject(error) : resolve();
      });
    });
    at += bytes.length;
    seen.sent += bytes.length;
  }
  if (reply.cut === undefined) response.end();
  else if (reply.how === 'reset') socket.resetAndDestroy();
  else if (reply.how !== 'stall') socket.destroy();
}

type Fields = Readonly<Record<string, string | undefined>>;

const present = (fields: Fields): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined));
