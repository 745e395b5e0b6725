import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { openSource } from '../../src/engine/open.ts';
import { httpImage } from '../../src/http/download.ts';
import { certificateAuthority } from '../support/certificates.ts';
import { collect, noise } from '../support/chunks.ts';
import { digest, ETAG, fast, fetched, image, inTurn, other } from '../support/download.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { closedPort, httpServer, rawServer } from '../support/http-server.ts';
import { testWith } from '../support/needs.ts';

describe('an image of a web server', () => {
  test('is opened by its address, and its length is known', async () => {
    const server = await httpServer({ image });
    for (const url of [server.url(), server.url().replace('http:', 'HTTP:')]) {
      const source = await openSource(url);
      expect(source.cursor.length).toBe(300_000);
      expect(source.name).toBe(server.url());
      await source.close();
      expect(Buffer.compare(await fetched(url), image)).toBe(0);
    }
  });

  test('may have no length', async () => {
    const server = await httpServer({ image, reply: () => ({ chunked: true }) });
    const source = await openSource(server.url());
    expect(source.cursor.length).toBeUndefined();
    await source.close();
    expect(Buffer.compare(await fetched(server.url()), image)).toBe(0);
  });

  test('may be empty', async () => {
    const server = await httpServer();
    expect(await fetched(server.url())).toHaveLength(0);
  });

  test('of a length that is known before has it, also where the server tells none', async () => {
    const server = await httpServer({ image, reply: ({ path }) => ({ chunked: path === '/chunked' }) });
    for (const path of ['/plain', '/chunked']) {
      const source = await openSource(fast(server.url(path), { length: 300_000 }));
      expect(source.cursor.length).toBe(300_000);
      await source.close();
      expect(Buffer.compare(await fetched(fast(server.url(path), { length: 300_000 })), image)).toBe(0);
    }
  });

  test.each([299_999, 300_001])('of 300000 bytes that should have %i is HTTP_CHANGED', async (length) => {
    const server = await httpServer({ image, reply: ({ path }) => ({ chunked: path === '/chunked' }) });
    expect((await failure(openSource(fast(server.url(), { length })))).code).toBe('HTTP_CHANGED');
    if (length < 300_000) expect((await failure(fetched(fast(server.url('/chunked'), { length })))).code).toBe('HTTP_CHANGED');
  });

  test('is compared with its digest, and with the checksum of the caller', async () => {
    const server = await httpServer({ image });
    const sha256 = createHash('sha256').update(image).digest('hex');
    expect(await fetched(fast(server.url(), { digest }), { sha256 })).toHaveLength(300_000);
    const wrong = { algorithm: 'md5', hex: createHash('md5').update(other).digest('hex') };
    expect((await failure(fetched(fast(server.url(), { digest: wrong })))).code).toBe('SOURCE_CHECKSUM');
    expect((await failure(fetched(fast(server.url()), { sha256: '0'.repeat(64) }))).code).toBe('SOURCE_CHECKSUM');
    expect((await failure(fetched(fast(server.url(), { digest: { ...digest, algorithm: 'md7' } })))).code).toBe('USAGE');
  });

  testWith('openssl')('comes from behind TLS and a redirect too', async () => {
    const authority = certificateAuthority(testFolder());
    const tls = authority.issue('IP:127.0.0.1');
    const server = await httpServer({
      image,
      tls,
      reply: ({ path }) => (path === '/a' ? { status: 307, headers: { location: '/b' } } : {}),
    });
    expect(Buffer.compare(await fetched(fast(server.url('/a'), { ca: authority.ca })), image)).toBe(0);
  });

  test('that has more bytes than it told has as many as it told', async () => {
    const server = await rawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nETag: "one"\r\n\r\n');
      socket.write(image);
      socket.write(other);
    });
    expect(Buffer.compare(await fetched(fast(server.url())), image)).toBe(0);
  });
});

describe('the first request', () => {
  test.each([
    [401, 'HTTP_AUTH'],
    [403, 'HTTP_AUTH'],
    [404, 'HTTP_NOT_FOUND'],
    [204, 'HTTP_STATUS'],
    [400, 'HTTP_STATUS'],
    [416, 'HTTP_STATUS'],
  ] as const)('that is answered with %i fails at once: %s', async (status, code) => {
    const server = await httpServer({ reply: () => ({ status }) });
    expect(await failure(openSource(fast(server.url())))).toMatchObject({ code, status });
    expect(server.requests).toHaveLength(1);
  });

  test.each([408, 429, 500, 503])('that is answered with %i is made again, with longer and longer waits', async (status) => {
    const server = await httpServer({ image, reply: inTurn({ status }, { status }, { status }) });
    const waits: number[] = [];
    expect(Buffer.compare(await fetched(httpImage(server.url(), { wait: async (time) => waits.push(time) })), image)).toBe(0);
    expect(waits).toEqual([500, 1000, 2000]);
  });

  test('is given up in the end, with the last error as it is', async () => {
    const server = await httpServer({ reply: () => ({ status: 503 }) });
    const waits: number[] = [];
    const error = await failure(openSource(httpImage(server.url(), { wait: async (time) => waits.push(time) })));
    expect(error).toMatchObject({ code: 'HTTP_SERVER', status: 503 });
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000]);
    expect(server.requests).toHaveLength(6);
  });

  test('is made as often as was asked for', async () => {
    const server = await httpServer({ reply: () => ({ status: 503 }) });
    const waits: number[] = [];
    await failure(openSource(httpImage(server.url(), { retries: 0, wait: async (time) => waits.push(time) })));
    expect(waits).toEqual([]);
    await failure(openSource(httpImage(server.url(), { retries: 8, wait: async (time) => waits.push(time) })));
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  });

  test('is made again where nobody listens, and where the connection is lost, but not where TLS fails', async () => {
    const waits: number[] = [];
    const options = { wait: async (time: number) => waits.push(time), retries: 1 };
    const port = closedPort();
    expect((await failure(openSource(httpImage(`http://127.0.0.1:${port}/`, options)))).code).toBe('HTTP_CONNECT');
    expect(waits.splice(0)).toEqual([500]);
    const server = await httpServer({ image, reply: inTurn({ refuse: true }) });
    expect(await fetched(httpImage(server.url(), options))).toHaveLength(300_000);
    expect(waits.splice(0)).toEqual([500]);
    expect((await failure(openSource(httpImage(`https://127.0.0.1:${server.port}/`, options)))).code).toBe('HTTP_TLS');
    expect(waits).toEqual([]);
  });

  test('is not made for an address that nobody could ask for', async () => {
    const server = await httpServer({ image });
    for (const urls of [[], ['http://'], [server.url(), 'ftp://host/image'], [server.url(), 'http://me:word@host/image']]) {
      expect((await failure(openSource(fast(urls)))).code).toBe('USAGE');
    }
    expect((await failure(openSource(fast(server.url(), { headers: { 'x y': 'z' } })))).code).toBe('USAGE');
    expect(server.requests).toEqual([]);
  });
});

describe('a source that nobody reads', () => {
  test('holds the server up', async () => {
    const large = noise(64 << 20, 9);
    const server = await httpServer({ image: large });
    const source = await openSource(fast(server.url()));
    await source.cursor.read(10);
    // Nothing happens that could be waited for.
    await sleep(500);
    expect(server.sent()).toBeLessThan(32 << 20);
    expect(Buffer.compare(await collect(source.cursor.chunks()), large.subarray(10))).toBe(0);
    await source.close();
    expect(server.requests).toHaveLength(1);
  });

  test('holds the server up, also one that sends its bytes one by one', async () => {
    const piece = Buffer.from(`1;${'x'.repeat(8000)}\r\n!\r\n`);
    let sent = 0;
    const server = await rawServer((socket) => {
      const send = (): void => {
        sent += piece.length;
        if (sent < 64 << 20) socket.write(piece, (error) => error ?? send());
      };
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', send);
    });
    const source = await openSource(fast(server.url()));
    await source.cursor.read(10);
    // Nothing happens that could be waited for.
    await sleep(1000);
    expect(sent).toBeLessThan(32 << 20);
    await source.close();
  });

  test('goes on where the server has lost its patience meanwhile', async () => {
    const large = noise(32 << 20, 9);
    const server = await httpServer({ image: large, headers: ETAG, reply: inTurn({ cut: 1 << 20, how: 'reset' }) });
    const source = await openSource(fast(server.url()));
    await server.requests[0]?.closed;
    expect(Buffer.compare(await collect(source.cursor.chunks()), large)).toBe(0);
    await source.close();
  });
});

describe('a source that is closed', () => {
  test('before anything was read ends its connection', async () => {
    const server = await httpServer({ image: noise(20 << 20, 1) });
    await (await openSource(server.url())).close();
    await server.requests[0]?.closed;
    expect(server.connections()).toBe(0);
  });

  test('while a read waits ends the read and the connection', async () => {
    const server = await httpServer({ image, reply: () => ({ cut: 1000, how: 'stall' }) });
    const source = await openSource(server.url());
    await source.cursor.read(1000);
    const waiting = failure(source.cursor.read(1));
    await source.close();
    expect((await waiting).code).toBe('CANCELLED');
    await server.requests[0]?.closed;
  });

  test('after its end leaves no connection', async () => {
    const server = await httpServer({ image });
    await fetched(server.url());
    await server.requests[0]?.closed;
    expect(server.connections()).toBe(0);
  });
});
