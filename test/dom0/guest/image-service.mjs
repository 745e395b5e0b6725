/** An image service for one upload, in the process of the tests: it keeps the image in memory. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { run } from './programs.mjs';

/** @param {import('./runner.mjs').Test} t */
export async function imageService(t) {
  /** @type {Buffer | undefined} */
  let image;
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    if (request.method === 'PUT' && request.complete) image = body;
    if (request.method === 'PUT') return void response.writeHead(204).end();
    const stored = image && { size: image.length, os_hash_value: createHash('sha512').update(image).digest('hex') };
    const id = request.url?.split('/')[3];
    response.end(JSON.stringify({ id, status: stored ? 'active' : 'queued', os_hash_algo: stored ? 'sha512' : null, ...stored }));
  });
  run('ip', 'link', 'set', 'lo', 'up'); // Dom0 boots without a network
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    image() {
      if (image === undefined) throw new Error('nothing was uploaded');
      return image;
    },
  };
}
