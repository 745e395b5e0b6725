import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { Chunks } from '../../src/cursor.ts';
import { createHttp, statusError } from '../../src/http/client.ts';
import { httpImage } from '../../src/http/download.ts';
import { redactUrl } from '../../src/http/url.ts';
import { collect, noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { client, image, silent } from '../support/http-client.ts';
import { closedPort, httpServer, rawServer } from '../support/http-server.ts';

describe('an answer', () => {
  test('has the status, the headers in lower case, the bytes, and the final URL', async () => {
    const server = await httpServer({ image, headers: { ETag: '"one"', 'X-Two': 'a' } });
    const answer = await client().request(server.url());
    expect(answer).toMatchObject({ status: 200, url: server.url(), headers: { etag: '"one"', 'x-two': 'a', 'content-length': '300000' } });
    expect(Buffer.compare(await collect(answer.body), image)).toBe(0);
  });

  test('to HEAD has no body', async () => {
    const server = await httpServer({ image });
    const answer = await client().request(server.url(), { method: 'HEAD' });
    expect(answer.headers['content-length']).toBe('300000');
    expect(await collect(answer.body)).toHaveLength(0);
    expect(server.requests[0]?.method).toBe('HEAD');
  });

  test('is requested without an encoding, and is not decoded if the server encodes it anyway', async () => {
    const packed = gzipSync(image);
    const server = await httpServer({ image: packed, headers: { 'content-encoding': 'gzip' } });
    const answer = await client({ headers: { 'User-Agent': 'mine' } }).request(server.url());
    expect(Buffer.compare(await collect(answer.body), packed)).toBe(0);
    expect(server.requests[0]?.headers).toMatchObject({ 'accept-encoding': 'identity', 'user-agent': 'mine' });
  });

  test('of any status is not an error on its own, and has a body', async () => {
    const server = await httpServer({ reply: () => ({ status: 503 }) });
    const answer = await client().request(server.url());
    expect(answer.status).toBe(503);
    expect(String(await collect(answer.body))).toBe('the answer of the server');
  });

  test('that is not read has its connection closed when it is closed', async () => {
    const server = await httpServer({ image: noise(20 << 20, 1) });
    const answer = await client().request(server.url());
    await answer.close();
    await server.requests[0]?.closed;
  });

  test('leaves no connection behind once it has been read', async () => {
    const server = await httpServer({ image });
    await collect((await client().request(server.url())).body);
    await server.requests[0]?.closed;
  });

  test('that has arrived completely but is closed before all of it is read does not look complete to the reader', async () => {
    const server = await httpServer({ image: image.subarray(0, 100_000) });
    const answer = await client().request(server.url());
    const body = answer.body[Symbol.asyncIterator]();
    expect((await body.next()).value?.length).toBeLessThan(100_000);
    await server.requests[0]?.closed;
    await answer.close();
    expect((await failure(body.next())).code).toBe('CANCELLED');
  });

  test('yields the bytes that have arrived before it reports that the connection was lost', async () => {
    const server = await httpServer({ image, reply: () => ({ cut: 200_000 }) });
    const answer = await client().request(server.url());
    await server.requests[0]?.closed;
    const taken: Uint8Array[] = [];
    const error = await failure(take(answer.body, taken));
    expect(error.code).toBe('HTTP_DROPPED');
    expect(Buffer.compare(Buffer.concat(taken), image.subarray(0, 200_000))).toBe(0);
  });
});

async function take(body: Chunks, into: Uint8Array[]): Promise<void> {
  for await (const chunk of body) into.push(chunk);
}

test.each([
  [[401, 403], 'HTTP_AUTH'],
  [[404, 410], 'HTTP_NOT_FOUND'],
  [[408, 429, 500, 501, 502, 503, 504, 507], 'HTTP_SERVER'],
  [[204, 206, 304, 400, 405, 409, 413, 416, 451], 'HTTP_STATUS'],
] as const)('the statuses %j are reported as %s', (statuses, code) => {
  for (const status of statuses) {
    const error = statusError('http://host/image', status);
    expect(error).toMatchObject({ code, status });
    expect(error.message).toContain(String(status));
  }
});

test('bytes past the Content-Length are not part of the answer', async () => {
  const server = await rawServer((socket) => void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more`));
  const answer = await client().request(server.url());
  expect(String(await collect(answer.body))).toBe('hello');
});

describe('an invalid request is USAGE before anything is sent, such as', () => {
  test.each(['', 'image.ova', 'ftp://host/image', 'http://', 'https://[', 'http://hunter2@host/', 'http://me:hunter2@host/', '//host/'])(
    'the address %j',
    async (url) => {
      const error = await failure(client().request(url));
      expect(error.code).toBe('USAGE');
      expect(error.message).not.toContain('hunter2');
    },
  );

  test.each([
    ['a name with a space', { 'x auth': 'secret' }],
    ['a name with a colon', { 'x:secret': 'a' }],
    ['no name', { '': 'secret' }],
    ['a name with a line end', { 'x\r\nsecret': 'a' }],
    ['a value with a line end', { 'x-a': 'secret\r\nx-b: c' }],
    ['a value with a zero', { 'x-a': 'secret\0' }],
    ['a value with a delete', { 'x-a': 'secret\x7f' }],
    ['a value outside of Latin 1', { 'x-a': 'secret\u2028' }],
    ['a header that every request has already', { Range: 'secret' }],
    ['a Host header for another host', { host: 'secret' }],
  ])('%s', (_, headers) => {
    expect(() => createHttp({ headers })).toThrow(expect.objectContaining({ code: 'USAGE' }));
    expect(() => createHttp({ headers })).not.toThrow(/secret/);
  });

  test('an address, also where the file of certificates holds none', async () => {
    expect((await failure(client({ ca: 'no certificate' }).request('ftp://host/image'))).message).toContain('the URL of an image');
  });

  test('a header value that is not a string', () => {
    const headers: Record<string, string> = JSON.parse('{"x-a": 1}');
    expect(() => createHttp({ headers })).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  test.each([{ connectTimeout: 0 }, { idleTimeout: -1 }, { idleTimeout: Number.NaN }, { connectTimeout: 2 ** 31 }])(
    'the option %j of a call',
    (options) => {
      expect(() => httpImage('http://host/image', options)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    },
  );

  test.each([{ retries: 1.5 }, { retries: -1 }])('the option %j', (options) => {
    expect(() => createHttp(options)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

describe('a name', () => {
  test.each([
    ['http://host/a/b.ova', 'http://host/a/b.ova'],
    ['https://host:8443/a?token=secret#secret', 'https://host:8443/a'],
    ['http://user:secret@host/a', 'http://host/a'],
    ['http://secret@', 'an invalid URL'],
  ])('of %s is %s', (url, name) => {
    expect(redactUrl(url)).toBe(name);
  });
});

describe('no error contains a secret', () => {
  const options = { headers: { 'x-auth-token': 'SECRET' }, idleTimeout: 50, connectTimeout: 50 };
  const secretly = (url: string): string => `${url}?signature=SECRET#SECRET`;
  const ways: readonly (readonly [string, () => Promise<string>])[] = [
    ['a port without a listener', async () => `http://127.0.0.1:${closedPort()}/a`],
    ['an unknown name', async () => 'http://vdistream.invalid/a'],
    ['no TLS', async () => `https://127.0.0.1:${(await httpServer()).port}/a`],
    ['no answer', async () => (await silent()).url()],
    ['an early end', async () => (await rawServer((socket) => socket.end())).url()],
    ['an echo of the request', async () => (await rawServer((socket, _, request) => void socket.write(request))).url()],
    ['a redirect too many', async () => (await httpServer({ reply: ({ path }) => ({ status: 302, headers: { location: path } }) })).url()],
    [
      'a bad redirect',
      async () => (await httpServer({ reply: () => ({ status: 302, headers: { location: 'ftp://SECRET:SECRET@a/?SECRET' } }) })).url(),
    ],
    ['a user', async () => 'http://SECRET:SECRET@127.0.0.1/a'],
    ['another scheme', async () => 'ftp://SECRET@127.0.0.1/a'],
    ['no address', async () => 'http://SECRET@'],
  ];

  test.each(ways)('for %s', async (_, way) => {
    const error = await failure(client(options).request(secretly(await way())));
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
      expect(cause.message + cause.stack).not.toContain('SECRET');
    }
    expect(JSON.stringify(error)).not.toContain('SECRET');
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('SECRET');
  });

  test('for a body that is cut off', async () => {
    const server = await httpServer({ image, reply: () => ({ cut: 10 }) });
    const answer = await client(options).request(secretly(server.url()));
    expect(inspect(await failure(collect(answer.body)), { depth: 10, showHidden: true })).not.toContain('SECRET');
  });
});
