import dns from 'node:dns';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import { inspect } from 'node:util';
import { Worker } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Chunks } from '../../src/cursor.ts';
import type { VdiStreamError } from '../../src/errors.ts';
import { createHttp, type Http, type HttpOptions, statusError } from '../../src/http/client.ts';
import { redactUrl } from '../../src/http/url.ts';
import { certificateAuthority } from '../support/certificates.ts';
import { collect, noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { closedPort, httpServer, rawServer } from '../support/http-server.ts';
import { testWith } from '../support/needs.ts';

const image = noise(300_000, 1);

function client(options?: HttpOptions): Http {
  const http = createHttp(options);
  onTestFinished(() => http.close());
  return http;
}

/** A server whose connections are made, and then nothing more comes. */
const silent = (): ReturnType<typeof rawServer> => rawServer(() => {});

describe('an answer', () => {
  test('has the status, the headers in lower case, the bytes, and where it comes from', async () => {
    const server = await httpServer({ image, headers: { ETag: '"one"', 'X-Two': 'a' } });
    const answer = await client().request(server.url());
    expect(answer).toMatchObject({ status: 200, url: server.url(), headers: { etag: '"one"', 'x-two': 'a', 'content-length': '300000' } });
    expect(Buffer.compare(await collect(answer.body), image)).toBe(0);
  });

  test('to HEAD has no bytes', async () => {
    const server = await httpServer({ image });
    const answer = await client().request(server.url(), { method: 'HEAD' });
    expect(answer.headers['content-length']).toBe('300000');
    expect(await collect(answer.body)).toHaveLength(0);
    expect(server.requests[0]?.method).toBe('HEAD');
  });

  test('is asked for as it is stored, and is not decoded where the server encodes it all the same', async () => {
    const packed = gzipSync(image);
    const server = await httpServer({ image: packed, headers: { 'content-encoding': 'gzip' } });
    const answer = await client({ headers: { 'User-Agent': 'mine' } }).request(server.url());
    expect(Buffer.compare(await collect(answer.body), packed)).toBe(0);
    expect(server.requests[0]?.headers).toMatchObject({ 'accept-encoding': 'identity', 'user-agent': 'mine' });
  });

  test('of any status is no error by itself, and has a body', async () => {
    const server = await httpServer({ reply: () => ({ status: 503 }) });
    const answer = await client().request(server.url());
    expect(answer.status).toBe(503);
    expect(String(await collect(answer.body))).toBe('the answer of the server');
  });

  test('that is not read is a connection that ends when it is closed', async () => {
    const server = await httpServer({ image: noise(20 << 20, 1) });
    const answer = await client().request(server.url());
    await answer.close();
    await server.requests[0]?.closed;
  });

  test('leaves no connection behind once it is read', async () => {
    const server = await httpServer({ image });
    await collect((await client().request(server.url())).body);
    await server.requests[0]?.closed;
  });

  test('that has come whole, and is closed before all of it is taken, does not look like one that ends there', async () => {
    const server = await httpServer({ image: image.subarray(0, 100_000) });
    const answer = await client().request(server.url());
    const body = answer.body[Symbol.asyncIterator]();
    expect((await body.next()).value?.length).toBeLessThan(100_000);
    await server.requests[0]?.closed;
    await answer.close();
    expect((await failure(body.next())).code).toBe('CANCELLED');
  });

  test('gives what has arrived before it says that the connection was lost', async () => {
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
] as const)('the statuses %j are told as %s', (statuses, code) => {
  for (const status of statuses) {
    const error = statusError('http://host/image', status);
    expect(error).toMatchObject({ code, status });
    expect(error.message).toContain(String(status));
  }
});

describe('a redirect', () => {
  const to = (location: string, status = 302) => ({ status, headers: { location } });

  test.each([301, 302, 303, 307, 308])('with the status %i is followed', async (status) => {
    const server = await httpServer({ image, reply: ({ path }) => (path === '/a' ? to('/b?c=d', status) : {}) });
    const answer = await client().request(server.url('/a'));
    expect(answer).toMatchObject({ status: 200, url: server.url('/b?c=d') });
    expect(Buffer.compare(await collect(answer.body), image)).toBe(0);
  });

  test('of HEAD stays HEAD', async () => {
    const server = await httpServer({ image, reply: ({ path }) => (path === '/a' ? to('b', 303) : {}) });
    await client().request(server.url('/a'), { method: 'HEAD' });
    expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(['HEAD /a', 'HEAD /b']);
  });

  test('is followed five times and no more', async () => {
    const server = await httpServer({ image, reply: ({ path }) => (path === '/0' ? {} : to(`/${Number(path.slice(1)) - 1}`)) });
    expect((await client().request(server.url('/5'))).status).toBe(200);
    expect((await failure(client().request(server.url('/6')))).code).toBe('HTTP_REDIRECT');
  });

  test('to itself comes to an end', async () => {
    const server = await httpServer({ reply: ({ path }) => to(path) });
    expect((await failure(client().request(server.url()))).code).toBe('HTTP_REDIRECT');
    expect(server.requests).toHaveLength(6);
  });

  test('without a place to go to is an answer like any other', async () => {
    const server = await httpServer({ reply: () => ({ status: 302 }) });
    expect((await client().request(server.url())).status).toBe(302);
  });

  test.each(['ftp://127.0.0.1/a', 'file:///etc/passwd', 'http://user:word@127.0.0.1/', 'http://[', 'data:,x'])(
    'to %s is refused',
    async (location) => {
      const server = await httpServer({ reply: () => to(location) });
      expect((await failure(client().request(server.url()))).code).toBe('HTTP_REDIRECT');
    },
  );

  testWith('openssl')('from an encrypted connection to one that is not is refused, and nothing is sent there', async () => {
    const authority = certificateAuthority(testFolder());
    const plain = await httpServer({ image });
    const server = await httpServer({ tls: authority.issue('IP:127.0.0.1'), reply: () => to(plain.url()) });
    expect((await failure(client({ ca: authority.ca }).request(server.url()))).code).toBe('HTTP_REDIRECT');
    expect(plain.requests).toEqual([]);
  });

  testWith('openssl')('from a connection that is not encrypted to one that is brings no token along', async () => {
    const authority = certificateAuthority(testFolder());
    const server = await httpServer({ image, tls: authority.issue('IP:127.0.0.1') });
    const plain = await httpServer({ reply: () => to(server.url()) });
    expect((await client({ ca: authority.ca, headers: { 'x-auth-token': 'secret' } }).request(plain.url())).status).toBe(200);
    expect(plain.requests[0]?.headers['x-auth-token']).toBe('secret');
    expect(server.requests[0]?.headers['x-auth-token']).toBeUndefined();
  });

  test('keeps the headers of the caller on its own host and port, drops them for another, and never sends them again', async () => {
    const second = await httpServer({ reply: () => to(first.url('/c')) });
    const first = await httpServer({ image, reply: ({ path }) => (path === '/a' ? to('/b') : path === '/b' ? to(second.url()) : {}) });
    const http = client({ headers: { 'X-Auth-Token': 'secret', Cookie: 'secret' } });
    const answer = await http.request(first.url('/a'), { headers: { range: 'bytes=10-' } });
    expect(answer.status).toBe(206);
    const seen = [...first.requests.slice(0, 2), ...second.requests, ...first.requests.slice(2)];
    expect(seen.map(({ headers }) => [headers['x-auth-token'], headers.cookie, headers.range])).toEqual([
      ['secret', 'secret', 'bytes=10-'],
      ['secret', 'secret', 'bytes=10-'],
      [undefined, undefined, 'bytes=10-'],
      [undefined, undefined, 'bytes=10-'],
    ]);
    await answer.close();
    await (await http.request(first.url('/d'))).close();
    expect(first.requests.at(-1)?.headers['x-auth-token']).toBe('secret');
  });
});

describe('TLS', () => {
  testWith('openssl')('is trusted with the certificate of its authority, and not without', async () => {
    const authority = certificateAuthority(testFolder());
    const server = await httpServer({ image, tls: authority.issue('IP:127.0.0.1') });
    const other = certificateAuthority(testFolder());
    expect((await failure(client().request(server.url()))).code).toBe('HTTP_TLS');
    expect((await failure(client({ ca: other.ca }).request(server.url()))).code).toBe('HTTP_TLS');
    const answer = await client({ ca: `${other.ca}\n${authority.ca}` }).request(server.url());
    expect(Buffer.compare(await collect(answer.body), image)).toBe(0);
  });

  testWith('openssl')('is refused for another name, out of date, and of a certificate that vouches for itself', async () => {
    const folder = testFolder();
    const authority = certificateAuthority(folder);
    const itself = { key: authority.key, cert: authority.ca };
    for (const tls of [authority.issue('DNS:other.example'), authority.issue('IP:127.0.0.1', -1)]) {
      const server = await httpServer({ image, tls });
      expect((await failure(client({ ca: authority.ca }).request(server.url()))).code).toBe('HTTP_TLS');
    }
    const server = await httpServer({ image, tls: itself });
    expect((await failure(client().request(server.url()))).code).toBe('HTTP_TLS');
  });

  testWith('openssl')('of a connection that ends while the target is slow brings every byte', async () => {
    const authority = certificateAuthority(testFolder());
    const http = client({ ca: authority.ca });
    for (let size = 250_000; size <= 300_000; size += 8_000) {
      const bytes = image.subarray(0, size);
      const server = await httpServer({ image: bytes, headers: { connection: 'close' }, tls: authority.issue('IP:127.0.0.1') });
      const answer = await http.request(server.url());
      const taken: Uint8Array[] = [];
      for await (const chunk of answer.body) {
        if (taken.push(chunk) === 1) await sleep(50);
      }
      expect(Buffer.compare(Buffer.concat(taken), bytes)).toBe(0);
    }
  });

  test('with a server that does not speak it says so', async () => {
    const server = await httpServer({ image });
    expect((await failure(client().request(`https://127.0.0.1:${server.port}/`))).code).toBe('HTTP_TLS');
  });

  testWith('openssl')('cannot be turned off by the environment', async () => {
    const server = await httpServer({ image, tls: certificateAuthority(testFolder()).issue('IP:127.0.0.1') });
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect((await failure(client().request(server.url()))).code).toBe('HTTP_TLS');
  });

  test.each(['', 'no certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'])(
    'takes no file of certificates that holds %j',
    async (ca) => {
      expect((await failure(client({ ca }).request('https://127.0.0.1:1/'))).code).toBe('USAGE');
    },
  );
});

describe('a server that cannot be reached', () => {
  test('because nobody listens is HTTP_CONNECT, and the message has the reason', async () => {
    const port = closedPort();
    for (const host of ['127.0.0.1', 'localhost']) {
      const error = await failure(client().request(`http://${host}:${port}/`));
      expect(error.code).toBe('HTTP_CONNECT');
      expect(error.message).toContain('ECONNREFUSED');
    }
  });

  test('at any of its addresses says what is wrong with each', async () => {
    const addresses = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
    const lookup = vi.spyOn(dns, 'lookup').mockImplementation((...args: unknown[]) => {
      const done = args.at(-1);
      if (typeof done === 'function') done(null, addresses);
    });
    onTestFinished(() => lookup.mockRestore());
    const error = await failure(client().request(`http://host.example:${closedPort()}/`));
    expect(error.code).toBe('HTTP_CONNECT');
    for (const { address } of addresses) expect(error.message).toContain(`ECONNREFUSED ${address}`);
  });

  test('because its name is unknown is HTTP_CONNECT', async () => {
    expect((await failure(client().request('http://vdistream.invalid/'))).code).toBe('HTTP_CONNECT');
  });

  test('because it does not go on with TLS is HTTP_CONNECT after the timeout', async () => {
    const server = await silent();
    const error = await failure(client({ connectTimeout: 50 }).request(`https://127.0.0.1:${server.port}/`));
    expect(error.code).toBe('HTTP_CONNECT');
    await server.idle();
  });
});

describe('a server that does not answer', () => {
  test('is HTTP_DROPPED after the idle timeout', async () => {
    const server = await silent();
    expect((await failure(client({ idleTimeout: 50 }).request(server.url()))).code).toBe('HTTP_DROPPED');
    await server.idle();
  });

  test.each(['end', 'reset'] as const)('but ends the connection (%s) is HTTP_DROPPED', async (how) => {
    const server = await rawServer((socket) => (how === 'end' ? socket.end() : socket.resetAndDestroy()));
    expect((await failure(client().request(server.url()))).code).toBe('HTTP_DROPPED');
  });

  test.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['headers without end', `HTTP/1.1 200 OK\r\n${'X-Filler: 0123456789012345678901234567890123456789\r\n'.repeat(2000)}`],
  ])('but says %s is HTTP_STATUS', async (_, text) => {
    const server = await rawServer((socket) => void socket.write(text));
    expect((await failure(client().request(server.url()))).code).toBe('HTTP_STATUS');
    await server.idle();
  });

  test('in the middle of the body is HTTP_DROPPED after the idle timeout', async () => {
    const server = await httpServer({ image, reply: () => ({ cut: 1000, how: 'stall' }) });
    const answer = await client({ idleTimeout: 50 }).request(server.url());
    expect((await failure(collect(answer.body))).code).toBe('HTTP_DROPPED');
    await server.requests[0]?.closed;
  });

  test('while nobody takes the bytes is not to blame', async () => {
    const server = await httpServer({ image: noise(20 << 20, 2) });
    const answer = await client({ idleTimeout: 1000 }).request(server.url());
    const body = answer.body[Symbol.asyncIterator]();
    const first = await body.next();
    // Longer than the timeout and its grain; nothing can happen that could be waited for.
    await sleep(3000);
    const rest = await collect({ [Symbol.asyncIterator]: () => body });
    expect(Buffer.compare(Buffer.concat([first.value ?? '', rest]), noise(20 << 20, 2))).toBe(0);
  });
});

/** The three ways in which a body says how long it is (RFC 9112, 6.3), for a connection that ends with it. */
const framings = [
  ['a length', (bytes: Uint8Array, whole: number) => [`Content-Length: ${whole}\r\n\r\n`, bytes]],
  ['chunks', (bytes: Uint8Array) => [`Transfer-Encoding: chunked\r\n\r\n${bytes.length.toString(16)}\r\n`, bytes, '\r\n']],
  ['nothing', (bytes: Uint8Array) => ['\r\n', bytes]],
] as const;

describe.each(framings)('a connection that ends while the target is slow, of a body with %s', (framing, parts) => {
  // Also ones whose last bytes are those that fill what the client keeps ahead.
  const sizes = [1000, 65_536, 300_000, 330_000, 340_000, 350_000, 360_000, 370_000, 380_000, 390_000];
  const image = noise(390_000, 3);

  /** The connection is over before the second chunk is asked for, and with it the chance to hold the client up. */
  async function slowly(bytes: Uint8Array, ending: 'whole' | 'end' | 'reset'): Promise<{ taken: Buffer; error?: VdiStreamError }> {
    const whole = ending === 'whole' ? bytes.length : bytes.length + 1;
    const server = await rawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n');
      for (const part of parts(bytes, whole)) socket.write(part);
      if (ending === 'whole' && framing === 'chunks') socket.write('0\r\n\r\n');
      finishing = ending === 'reset' ? gone(socket) : once(socket.end(), 'finish');
    });
    let finishing: Promise<unknown> = Promise.resolve();
    const answer = await client().request(server.url());
    const taken: Uint8Array[] = [];
    try {
      for await (const chunk of answer.body) {
        if (taken.push(chunk) === 1) await Promise.all([finishing, sleep(20)]);
      }
      return { taken: Buffer.concat(taken) };
    } catch (error) {
      return { taken: Buffer.concat(taken), error: await failure(Promise.reject(error)) };
    }
  }

  async function gone(socket: Socket): Promise<void> {
    while (socket.writableLength > 0 && !socket.destroyed) await sleep(1);
    await sleep(20); // or the reset overtakes the bytes
    socket.resetAndDestroy();
  }

  test('behind the last byte is whole', async () => {
    for (const size of sizes) {
      const { taken, error } = await slowly(image.subarray(0, size), 'whole');
      expect(error).toBeUndefined();
      expect(Buffer.compare(taken, image.subarray(0, size))).toBe(0);
    }
  });

  test('before the last byte is a drop, where that can be seen', async () => {
    for (const size of sizes) {
      const { taken, error } = await slowly(image.subarray(0, size), 'end');
      expect(error?.code).toBe(framing === 'nothing' ? undefined : 'HTTP_DROPPED');
      expect(Buffer.compare(taken, image.subarray(0, size))).toBe(0);
    }
  });

  test('by a reset is a drop, and what has come is right', async () => {
    for (const size of sizes) {
      const { taken, error } = await slowly(image.subarray(0, size), 'reset');
      expect(error?.code).toBe('HTTP_DROPPED');
      expect(Buffer.compare(taken, image.subarray(0, taken.length))).toBe(0);
    }
  });
});

/** Its answer has no length: a start, and when it is told to go on, as much again and a reset. All that without the client's event loop. */
const resetting = `
  const { createServer } = require('node:net');
  const { parentPort, workerData } = require('node:worker_threads');
  const server = createServer((socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\\r\\n\\r\\nstart'));
    parentPort.once('message', () => socket.write('again', () => socket.resetAndDestroy()));
    socket.once('close', () => {
      Atomics.store(workerData, 0, 1);
      Atomics.notify(workerData, 0);
    });
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;

test('a reset that is seen together with the last bytes is a drop, though the answer has no length', async () => {
  const gone = new Int32Array(new SharedArrayBuffer(4));
  const server = new Worker(resetting, { eval: true, workerData: gone });
  onTestFinished(async () => void (await server.terminate()));
  const [port] = await once(server, 'message');
  const answer = await client().request(`http://127.0.0.1:${port}/`);
  const taken: Uint8Array[] = [];
  const reading = (async () => {
    for await (const chunk of answer.body) {
      if (taken.push(chunk) > 1) continue;
      server.postMessage('go on');
      expect(Atomics.wait(gone, 0, 0, 60_000)).not.toBe('timed-out');
    }
  })();
  expect((await failure(reading)).code).toBe('HTTP_DROPPED');
  expect(String(Buffer.concat(taken))).toBe('startagain');
});

testWith('openssl')('an answer without a length that comes over TLS ends with its connection', async () => {
  const authority = certificateAuthority(testFolder());
  const server = createTlsServer(authority.issue('IP:127.0.0.1'), (socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\nthe whole'));
  });
  onTestFinished(() => void server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const answer = await client({ ca: authority.ca }).request(`https://127.0.0.1:${port}/`);
  expect(String(await collect(answer.body))).toBe('the whole');
});

test('bytes behind the length that was told are no part of the answer', async () => {
  const server = await rawServer((socket) => void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more`));
  const answer = await client().request(server.url());
  expect(String(await collect(answer.body))).toBe('hello');
});

describe('what cannot be asked for is USAGE, before anything is sent', () => {
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
    ['a header that a request has anyway', { Range: 'secret' }],
    ['the header of another host', { host: 'secret' }],
  ])('%s', (_, headers) => {
    expect(() => createHttp({ headers })).toThrow(expect.objectContaining({ code: 'USAGE' }));
    expect(() => createHttp({ headers })).not.toThrow(/secret/);
  });

  test('an address, also where the file of certificates holds none', async () => {
    expect((await failure(client({ ca: 'no certificate' }).request('ftp://host/image'))).message).toContain('the address of an image');
  });

  test('a value that is no text', () => {
    const headers: Record<string, string> = JSON.parse('{"x-a": 1}');
    expect(() => createHttp({ headers })).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  test.each([
    { connectTimeout: 0 },
    { idleTimeout: -1 },
    { idleTimeout: Number.NaN },
    { connectTimeout: 2 ** 31 },
    { retries: 1.5 },
    { retries: -1 },
  ])('the option %j', (options) => {
    expect(() => createHttp(options)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

describe('a cancel', () => {
  const reason = new Error('enough');
  const moments = [
    ['before it began', (url: string) => client().request(url, { signal: AbortSignal.abort(reason) })],
    ['while it waits for TLS', (url: string, signal: AbortSignal) => client().request(url.replace('http:', 'https:'), { signal })],
    ['while it waits for an answer', (url: string, signal: AbortSignal) => client().request(url, { signal })],
  ] as const;

  test.each(moments)('%s ends it at once, and its connection', async (_, ask) => {
    const controller = new AbortController();
    const server = await rawServer(() => controller.abort(reason));
    const error = await failure(ask(server.url(), controller.signal));
    expect(error).toMatchObject({ code: 'CANCELLED', cause: reason });
    await server.idle();
  });

  test.each(['by the signal', 'by closing the answer', 'by closing the client'])(
    '%s while it waits for bytes ends it at once',
    async (how) => {
      const controller = new AbortController();
      const server = await httpServer({ image, reply: () => ({ cut: 1000, how: 'stall' }) });
      const http = client();
      const answer = await http.request(server.url(), { signal: controller.signal });
      const body = answer.body[Symbol.asyncIterator]();
      await body.next();
      const waiting = failure(body.next());
      if (how === 'by the signal') controller.abort(reason);
      else if (how === 'by closing the answer') await answer.close();
      else await http.close();
      expect((await waiting).code).toBe('CANCELLED');
      await server.requests[0]?.closed;
    },
  );

  test('leaves no listener at the signal, and neither does success', async () => {
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, 'addEventListener');
    const removed = vi.spyOn(signal, 'removeEventListener');
    const server = await httpServer({ image });
    await collect((await client().request(server.url(), { signal })).body);
    await (await client().request(server.url(), { signal })).close();
    expect(added.mock.calls.length).toBeGreaterThan(0);
    expect(removed.mock.calls.length).toBe(added.mock.calls.length);
  });
});

describe('a name', () => {
  test.each([
    ['http://host/a/b.ova', 'http://host/a/b.ova'],
    ['https://host:8443/a?token=secret#secret', 'https://host:8443/a'],
    ['http://user:secret@host/a', 'http://host/a'],
    ['http://secret@', 'an address that cannot be understood'],
  ])('of %s is %s', (url, name) => {
    expect(redactUrl(url)).toBe(name);
  });
});

describe('no error tells a secret', () => {
  const options = { headers: { 'x-auth-token': 'SECRET' }, idleTimeout: 50, connectTimeout: 50 };
  const secretly = (url: string): string => `${url}?signature=SECRET#SECRET`;
  const ways: readonly (readonly [string, () => Promise<string>])[] = [
    ['nobody listens', async () => `http://127.0.0.1:${closedPort()}/a`],
    ['the name is unknown', async () => 'http://vdistream.invalid/a'],
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

  test('for a body that breaks off', async () => {
    const server = await httpServer({ image, reply: () => ({ cut: 10 }) });
    const answer = await client(options).request(secretly(server.url()));
    expect(inspect(await failure(collect(answer.body)), { depth: 10, showHidden: true })).not.toContain('SECRET');
  });
});
