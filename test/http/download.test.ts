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

describe('an image on a web server', () => {
  test('is opened by its address, and has its length', async () => {
    const server = await httpServer({ image });
    for (const url of [server.url(), server.url().replace('http:', 'HTTP:')]) {
      const source = await openSource(url);
      expect(source.cursor.length).toBe(300_000);
      expect(source.name).toBe(server.url());
      await source.close();
      expect(Buffer.compare(await fetched(url), image)).toBe(0);
    }
  });

  test('may lack a length', async () => {
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

  test('has the length given by the caller, even if the server sends none', async () => {
    const server = await httpServer({ image, reply: ({ path }) => ({ chunked: path === '/chunked' }) });
    for (const path of ['/plain', '/chunked']) {
      const source = await openSource(fast(server.url(path), { length: 300_000 }));
      expect(source.cursor.length).toBe(300_000);
      await source.close();
      expect(Buffer.compare(await fetched(fast(server.url(path), { length: 300_000 })), image)).toBe(0);
    }
  });

  test.each([299_999, 300_001])('of 300000 bytes is HTTP_CHANGED if it should have %i', async (length) => {
    const server = await httpServer({ image, reply: ({ path }) => ({ chunked: path === '/chunked' }) });
    expect((await failure(openSource(fast(server.url(), { length })))).code).toBe('HTTP_CHANGED');
    if (length < 300_000) expect((await failure(fetched(fast(server.url('/chunked'), { length })))).code).toBe('HTTP_CHANGED');
  });

  test('is compared with its digest, and with the caller’s checksum', async () => {
    const server = await httpServer({ image });
    const sha256 = createHash('sha256').update(image).digest('hex');
    expect(await fetched(fast(server.url(), { digest }), { sha256 })).toHaveLength(300_000);
    const wrong = { algorithm: 'md5', hex: createHash('md5').update(other).digest('hex') };
    expect((await failure(fetched(fast(server.url(), { digest: wrong })))).code).toBe('SOURCE_CHECKSUM');
    expect((await failure(fetched(fast(server.url()), { sha256: '0'.repeat(64) }))).code).toBe('SOURCE_CHECKSUM');
    expect((await failure(fetched(fast(server.url(), { digest: { ...digest, algorithm: 'md7' } })))).code).toBe('USAGE');
  });

  testWith('openssl')('can be served over TLS and after a redirect', async () => {
    const authority = certificateAuthority(testFolder());
    const tls = authority.issue('IP:127.0.0.1');
    const server = await httpServer({
      image,
      tls,
      reply: ({ path }) => (path === '/a' ? { status: 307, headers: { location: '/b' } } : {}),
    });
    expect(Buffer.compare(await fetched(fast(server.url('/a'), { ca: authority.ca })), image)).toBe(0);
  });

  test('longer than its Content-Length ends at its Content-Length', async () => {
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
  ] as const)('that is answered with %i fails immediately: %s', async (status, code) => {
    const server = await httpServer({ reply: () => ({ status }) });
    expect(await failure(openSource(fast(server.url())))).toMatchObject({ code, status });
    expect(server.requests).toHaveLength(1);
  });

  test.each([408, 429, 500, 503])('that is answered with %i is retried, with growing waits', async (status) => {
    const server = await httpServer({ image, reply: inTurn({ status }, { status }, { status }) });
    const waits: number[] = [];
    expect(Buffer.compare(await fetched(httpImage(server.url(), { wait: async (time) => waits.push(time) })), image)).toBe(0);
    expect(waits).toEqual([500, 1000, 2000]);
  });

  test('is abandoned in the end, with the last error unchanged', async () => {
    const server = await httpServer({ reply: () => ({ status: 503 }) });
    const waits: number[] = [];
    const error = await failure(openSource(httpImage(server.url(), { wait: async (time) => waits.push(time) })));
    expect(error).toMatchObject({ code: 'HTTP_SERVER', status: 503 });
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000]);
    expect(server.requests).toHaveLength(6);
  });

  test('is retried as often as the caller requested', async () => {
    const server = await httpServer({ reply: () => ({ status: 503 }) });
    const waits: number[] = [];
    await failure(openSource(httpImage(server.url(), { retries: 0, wait: async (time) => waits.push(time) })));
    expect(waits).toEqual([]);
    await failure(openSource(httpImage(server.url(), { retries: 8, wait: async (time) => waits.push(time) })));
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  });

  test('is retried if nothing listens or the connection is lost, but not if TLS fails', async () => {
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

  test('is not sent for an invalid address', async () => {
    const server = await httpServer({ image });
    for (const urls of [[], ['http://'], [server.url(), 'ftp://host/image'], [server.url(), 'http://me:word@host/image']]) {
      expect((await failure(openSource(fast(urls)))).code).toBe('USAGE');
    }
    expect((await failure(openSource(fast(server.url(), { headers: { 'x y': 'z' } })))).code).toBe('USAGE');
    expect(server.requests).toEqual([]);
  });
});

describe('a source that is not read', () => {
  test('slows the server down', async () => {
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

  test('slows the server down, even if it sends its bytes one by one', async () => {
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

  test('resumes where it stopped if the server has closed the connection meanwhile', async () => {
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

  test('after its end leaves no connection open', async () => {
    const server = await httpServer({ image });
    await fetched(server.url());
    await server.requests[0]?.closed;
    expect(server.connections()).toBe(0);
  });
});
