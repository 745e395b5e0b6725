/** The web server of a reader of the documentation: files that can be fetched and put, and an image service of version 2. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { join } from 'node:path';

/** In the service: what is in image.tar.gz. */
export const IMAGE = '6d3f0c0e-4c43-4f0f-9f0b-2a1f6f1f9a34';
/** Its record is there, and no data. */
export const NEW_IMAGE = '0b5d3a52-94a6-4a0f-8a7c-51f0a1c1d2e3';

const FILES = ['image.ova', 'image.tar.gz', 'chain.ova'];

interface Answer {
  readonly status: number;
  readonly body?: string | Buffer;
}

export async function serve(folder: string): Promise<{ readonly url: string; close(): void }> {
  const put = new Map<string, Buffer>();
  /** Without data until that is uploaded. */
  const images = new Map<string, Buffer | undefined>([
    [IMAGE, readFileSync(join(folder, 'image.tar.gz'))],
    [NEW_IMAGE, undefined],
  ]);

  function ofImage(method: string, id: string, isData: boolean, body: Buffer): Answer {
    if (!images.has(id)) return { status: 404 };
    const data = images.get(id);
    if (method === 'GET') return isData ? { status: 200, body: data ?? '' } : { status: 200, body: recordOf(id, data) };
    if (method === 'PATCH') return { status: 200 };
    if (method === 'DELETE') return { status: images.delete(id) ? 204 : 404 };
    images.set(id, body);
    return { status: 204 };
  }

  function answer(method: string, url: string, body: Buffer): Answer {
    if (url === '/v2/images' && method === 'POST') {
      images.set(String(JSON.parse(String(body)).id), undefined);
      return { status: 201 };
    }
    const [, id, file] = /^\/v2\/images\/([^/]+)(\/file)?$/.exec(url) ?? [];
    if (id !== undefined) return ofImage(method, id, file !== undefined, body);
    if (method === 'PUT') {
      put.set(url, body);
      return { status: 201 };
    }
    const stored = put.get(url);
    if (stored !== undefined) return { status: 200, body: stored };
    const name = FILES.find((each) => url === `/${each}`);
    return name === undefined ? { status: 404 } : { status: 200, body: readFileSync(join(folder, name)) };
  }

  const server = createServer((request, response) => {
    void bytesOf(request).then((body) => {
      const { method = '', url = '' } = request;
      const { status, body: content } = answer(method, url, body);
      response.writeHead(status, content === undefined ? {} : { 'content-length': Buffer.byteLength(content) });
      response.end(content);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the server has no port');
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${address.port}`, close };
}

const recordOf = (id: string, data: Buffer | undefined): string =>
  JSON.stringify(
    data === undefined
      ? { id, status: 'queued' }
      : { id, status: 'active', size: data.length, checksum: createHash('md5').update(data).digest('hex') },
  );

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
