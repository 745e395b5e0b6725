/** A proxy in front of an image service that cuts and damages what comes through. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { collect } from './chunks.ts';

/** What is done with the bytes of one answer. */
export interface Harm {
  /** Closes the connection after that many of them. */
  readonly cut?: number | undefined;
  /** Flips one bit of the byte at this offset. */
  readonly flip?: number | undefined;
}

export interface Proxy {
  readonly endpoint: string;
  /** The field Range of each request for bytes. */
  readonly ranges: readonly (string | undefined)[];
}

/** `harm` is called for each answer with bytes of an image, with how many it was called for before. Closed when the test is over. */
export async function proxyOf(endpoint: string, harm: (number: number) => Harm): Promise<Proxy> {
  const ranges: (string | undefined)[] = [];
  const server = createServer((asked, answer) => {
    pass(asked, answer).catch(() => answer.socket?.destroy());
  });

  async function pass(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const onward = request(`${endpoint}${asked.url}`, { method: asked.method, headers: asked.headers, agent: false }).end();
    const [real] = await once(onward, 'response');
    const body = await collect(real);
    const isImage = asked.url?.endsWith('/file');
    const { cut = body.length, flip } = isImage ? harm(ranges.push(asked.headers.range) - 1) : {};
    if (flip !== undefined) body.writeUInt8(body.readUInt8(flip) ^ 0x10, flip);
    answer.writeHead(real.statusCode, real.headers);
    if (cut >= body.length) return void answer.end(body);
    answer.write(body.subarray(0, cut), () => answer.socket?.destroy());
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, ranges };
}
