/** A web server that receives uploads, and answers by script: early, late, with anything, or not at all. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Certificate } from './certificates.ts';

export interface Script {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Bytes of the body that are read before the answer; all of them by default. */
  readonly after?: number;
  /** `answer` by default; with the others there is none. */
  readonly how?: 'answer' | 'end' | 'reset' | 'silent';
  /** Stop reading the body there. */
  readonly stall?: boolean;
}

export interface Upload {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly chunks: Buffer[];
  received: number;
  /** The body came to its end: its last chunk, or all that Content-Length says. */
  complete: boolean;
  /** Resolves when the connection is closed, by whichever side. */
  readonly closed: Promise<void>;
}

export interface UploadServer {
  readonly uploads: readonly Upload[];
  readonly port: number;
  url(path?: string): string;
}

export interface UploadServerOptions {
  readonly script?: (upload: Upload, number: number) => Script | Promise<Script>;
  readonly tls?: Certificate;
  /** Keep what was received; else only count it. */
  readonly keep?: boolean;
}

/** Closed when the test is over. */
export async function uploadServer({ script = () => ({}), tls, keep = true }: UploadServerOptions = {}): Promise<UploadServer> {
  const uploads: Upload[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const upload: Upload = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      chunks: [],
      received: 0,
      complete: false,
      closed: new Promise((resolve) => request.socket.once('close', () => resolve())),
    };
    const number = uploads.push(upload) - 1;
    void answer(request, response, upload, { keep, script: () => script(upload, number) });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  const open = new Set<Socket>();
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    open.add(socket);
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  const { port } = address;
  return { uploads, port, url: (path = '/image') => `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}${path}` };
}

interface Answering {
  readonly keep: boolean;
  readonly script: () => Script | Promise<Script>;
}

async function answer(request: IncomingMessage, response: ServerResponse, upload: Upload, { keep, script }: Answering): Promise<void> {
  const { status = 201, headers = {}, body = '', after = Number.POSITIVE_INFINITY, how = 'answer', stall = false } = await script();
  let answered = false;
  const act = (): void => {
    if (answered) return;
    answered = true;
    const { socket } = request;
    if (stall) request.pause();
    if (how === 'silent') return;
    if (how === 'end') socket.end();
    else if (how === 'reset') socket.resetAndDestroy();
    else {
      response.writeHead(status, headers);
      response.end(body);
    }
  };
  request.on('error', () => {});
  request.on('data', (chunk: Buffer) => {
    if (keep) upload.chunks.push(chunk);
    upload.received += chunk.length;
    if (upload.received >= after) act();
  });
  request.on('end', () => {
    upload.complete = request.complete;
    act();
  });
  if (after === 0) act();
}
