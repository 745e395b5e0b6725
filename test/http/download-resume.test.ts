import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { openSource } from '../../src/engine/open.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { httpImage } from '../../src/http/download.ts';
import { writeDisk } from '../../src/index.ts';
import type { Warning } from '../../src/warnings.ts';
import { collect, noise } from '../support/chunks.ts';
import { digest, ETAG, fast, fetched, image, inTurn, md5, other, starts, wait } from '../support/download.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { httpServer, type Reply, rawServer, type Seen } from '../support/http-server.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { TAR_END, tarMember } from '../support/tar.ts';

const LONG_AGO = 'Mon, 06 Nov 1995 08:49:37 GMT';

describe('a dropped connection', () => {
  const ways = [
    ['by the end of the connection', 'end'],
    ['by a reset', 'reset'],
    ['by silence', 'stall'],
  ] as const;

  test.each(ways)('%s goes unnoticed', async (_, how) => {
    const server = await httpServer({ image, headers: ETAG, reply: inTurn({ cut: 70_000, how }, { cut: 100_000, how }, { cut: 1, how }) });
    expect(Buffer.compare(await fetched(fast(server.url(), { idleTimeout: 100 })), image)).toBe(0);
    expect(server.requests).toHaveLength(4);
  });

  test.each([
    ['a strong ETag', ETAG, '"one"'],
    ['a date', { 'last-modified': LONG_AGO }, LONG_AGO],
    ['a date and a weak ETag', { 'last-modified': LONG_AGO, etag: 'W/"one"' }, LONG_AGO],
    ['an ETag and a date', { ...ETAG, 'last-modified': LONG_AGO }, '"one"'],
    ['the MD5 of the image, as Glance sends it', { 'content-md5': md5 }, undefined],
  ] as const)('is resumed at the exact byte, with %s', async (_, headers, condition) => {
    const server = await httpServer({ image, headers, reply: inTurn({ cut: 123_456 }, { cut: 1 }) });
    expect(Buffer.compare(await fetched(fast(server.url())), image)).toBe(0);
    expect(starts(server.requests)).toEqual([undefined, 'bytes=123456-', 'bytes=123457-']);
    expect(server.requests.map(({ headers }) => headers['if-range'])).toEqual([undefined, condition, condition]);
  });

  test('of an image with nothing but a digest of the whole is resumed, also with the caller’s digest', async () => {
    const reply = inTurn({ cut: 100_000 }, {}, { cut: 100_000 });
    const server = await httpServer({ image, reply });
    expect(Buffer.compare(await fetched(fast(server.url(), { digest })), image)).toBe(0);
    const sha256 = createHash('sha256').update(image).digest('hex');
    expect(Buffer.compare(await fetched(fast(server.url()), { sha256 }), image)).toBe(0);
    expect(starts(server.requests)).toEqual([undefined, 'bytes=100000-', undefined, 'bytes=100000-']);
  });

  test.each([
    ['sends no validator', {}],
    ['has a weak ETag', { etag: 'W/"one"' }],
    ['has an invalid ETag', { etag: 'one' }],
    ['has a Last-Modified of the current second', { 'last-modified': new Date().toUTCString(), date: new Date().toUTCString() }],
    ['has an invalid Last-Modified', { 'last-modified': 'yesterday' }],
  ])('of a server that %s is HTTP_RANGE immediately', async (_, headers) => {
    const server = await httpServer({ image, headers, reply: inTurn({ cut: 100_000 }) });
    const error = await failure(fetched(fast(server.url())));
    expect(error).toMatchObject({ code: 'HTTP_RANGE', offset: 100_000 });
    expect(error.cause).toMatchObject({ code: 'HTTP_DROPPED' });
    expect(server.requests).toHaveLength(1);
  });

  test('before the first byte starts over, and needs no validator', async () => {
    const server = await httpServer({ image, reply: inTurn({ cut: 0 }, { cut: 0 }) });
    expect(Buffer.compare(await fetched(fast(server.url())), image)).toBe(0);
    expect(starts(server.requests)).toEqual([undefined, undefined, undefined]);
  });

  test('before the first byte is HTTP_CHANGED if the image then has another length', async () => {
    const server = await httpServer({ image, reply: inTurn({ cut: 0 }, { image: noise(10, 1) }) });
    expect((await failure(fetched(fast(server.url())))).code).toBe('HTTP_CHANGED');
  });

  test('after the last byte is ignored', async () => {
    const server = await rawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n');
      socket.write(image);
      socket.end();
    });
    expect(Buffer.compare(await fetched(fast(server.url(), { length: 300_000 })), image)).toBe(0);
  });

  test('of an answer without a length is resumed too, wherever it is dropped', async () => {
    for (const cut of [1, 299_999, 300_000]) {
      const server = await httpServer({ image, headers: ETAG, reply: inTurn({ chunked: true, cut }, { chunked: true }) });
      expect(Buffer.compare(await fetched(fast(server.url())), image)).toBe(0);
      expect(server.requests).toHaveLength(2);
    }
  });

  test('of an answer without a length is not resumed with a range that may not be all of the rest', async () => {
    const reply = inTurn({ chunked: true, cut: 1000 }, { image: image.subarray(0, 2000), total: '*' });
    const server = await httpServer({ image, headers: ETAG, reply });
    expect(await failure(fetched(fast(server.url())))).toMatchObject({ code: 'HTTP_RANGE', offset: 1000 });
    expect(server.requests).toHaveLength(2);
  });

  test.each([
    ['has another image, which ends there', ETAG, { etag: '"two"' }, 'HTTP_CHANGED'],
    ['says nothing else of its image', { 'content-md5': md5 }, { 'content-md5': undefined }, 'HTTP_RANGE'],
  ] as const)('of an answer without a length is not taken as its end if the server %s', async (_, headers, then, code) => {
    const end = { status: 416, headers: { 'content-range': 'bytes */1000', ...then } };
    const server = await httpServer({ image, headers, reply: inTurn({ chunked: true, cut: 1000 }, end) });
    expect(await failure(fetched(fast(server.url())))).toMatchObject({ code, offset: 1000 });
  });

  test('of an image whose server sends no total is resumed', async () => {
    const server = await httpServer({ image, headers: ETAG, reply: inTurn({ cut: 1000 }, { total: '*' }) });
    expect(Buffer.compare(await fetched(fast(server.url())), image)).toBe(0);
  });

  test('starts again at the first address, and with the token', async () => {
    const far = await httpServer({ image, headers: ETAG, reply: inTurn({ cut: 1000 }) });
    const near = await httpServer({ reply: () => ({ status: 302, headers: { location: far.url() } }) });
    const input = fast(near.url(), { headers: { 'x-auth-token': 'secret' } });
    expect(Buffer.compare(await fetched(input), image)).toBe(0);
    expect(near.requests.map(({ headers }) => headers['x-auth-token'])).toEqual(['secret', 'secret']);
    expect(far.requests.map(({ headers }) => headers['x-auth-token'])).toEqual([undefined, undefined]);
  });

  test('is retried after growing waits, which progress makes short again', async () => {
    const drop = { cut: 1000 };
    const reply = inTurn(drop, { status: 503 }, { refuse: true }, drop, { status: 500 }, {});
    const server = await httpServer({ image, headers: ETAG, reply });
    const waits: number[] = [];
    await fetched(httpImage(server.url(), { wait: async (time) => waits.push(time) }));
    expect(waits).toEqual([500, 1000, 2000, 500, 1000]);
  });
});

describe('after a drop, an answer', () => {
  const answers: readonly (readonly [string, Reply, ErrorCode])[] = [
    ['with the whole image again', { noRange: true }, 'HTTP_RANGE'],
    ['with the whole of another image', { image: other, headers: { etag: '"two"' } }, 'HTTP_CHANGED'],
    ['with the whole of an image with another MD5', { noRange: true, headers: { 'content-md5': 'other' } }, 'HTTP_CHANGED'],
    ['with the whole of an image of another length', { noRange: true, image: noise(10, 1) }, 'HTTP_CHANGED'],
    ['with a part of an image with another ETag', { blind: true, headers: { etag: '"two"' } }, 'HTTP_CHANGED'],
    ['with a part of an image with another MD5', { headers: { 'content-md5': 'other' } }, 'HTTP_CHANGED'],
    ['with a part of an image with another date', { headers: { 'last-modified': 'Tue, 07 Nov 1995 08:49:37 GMT' } }, 'HTTP_CHANGED'],
    ['with a part of an image of another length', { total: '300001' }, 'HTTP_CHANGED'],
    ['with a part that begins later', { shift: 1 }, 'HTTP_RANGE'],
    ['with a part that begins earlier', { shift: -1 }, 'HTTP_RANGE'],
    ['with a part that is the whole', { shift: -200_000 }, 'HTTP_RANGE'],
    ['with a part without a Content-Range', { headers: { 'content-range': undefined } }, 'HTTP_RANGE'],
    ['with a part whose Content-Range cannot be parsed', { headers: { 'content-range': 'bytes 100000/300000' } }, 'HTTP_RANGE'],
    ['that the range cannot be satisfied', { image: noise(10, 1) }, 'HTTP_CHANGED'],
    ['that the token has expired', { status: 401 }, 'HTTP_AUTH'],
    ['that the image is gone', { status: 404 }, 'HTTP_NOT_FOUND'],
    ['with another status', { status: 400 }, 'HTTP_STATUS'],
    ['with 304 Not Modified', { status: 304 }, 'HTTP_STATUS'],
  ];

  test.each(answers)('%s is reported immediately: %#', async (_, reply, code) => {
    const headers = { ...ETAG, 'content-md5': md5, 'last-modified': LONG_AGO };
    const server = await httpServer({ image, headers, reply: inTurn({ cut: 100_000 }, reply) });
    expect((await failure(fetched(fast(server.url())))).code).toBe(code);
    expect(server.requests).toHaveLength(2);
    await Promise.all(server.requests.map(({ closed }) => closed));
  });

  test('with a range of a possibly different image is HTTP_RANGE if only an MD5 could detect that, and is not requested again', async () => {
    const server = await httpServer({ image, reply: inTurn({ cut: 100_000, headers: { 'content-md5': md5 } }) });
    expect((await failure(fetched(fast(server.url())))).code).toBe('HTTP_RANGE');
    expect(server.requests).toHaveLength(2);
  });
});

describe('a server that keeps failing', () => {
  test.each([
    ['fails', { status: 503 }, { code: 'HTTP_SERVER', status: 503 }],
    ['ends the connection', { refuse: true }, { code: 'HTTP_DROPPED' }],
    ['resets the connection', { cut: 0, how: 'reset' }, { code: 'HTTP_DROPPED' }],
  ] as const)('after a drop, and %s each time, is HTTP_DROPPED after five attempts', async (_, reply, cause) => {
    const server = await httpServer({ image, headers: ETAG, reply: (_, number) => (number === 0 ? { cut: 100_000 } : reply) });
    const waits: number[] = [];
    const error = await failure(fetched(httpImage(server.url(), { wait: async (time) => waits.push(time) })));
    expect(error).toMatchObject({ code: 'HTTP_DROPPED', offset: 100_000, cause });
    expect(server.requests).toHaveLength(6);
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000]);
  });

  test('that sends one byte per request is abandoned after a hundred', async () => {
    const server = await httpServer({ image, headers: ETAG, reply: () => ({ cut: 1 }) });
    const error = await failure(fetched(fast(server.url())));
    expect(error).toMatchObject({ code: 'HTTP_DROPPED', offset: 101 });
    expect(server.requests).toHaveLength(101);
  });

  test('that sends a MiB per request is tolerated', async () => {
    const large = noise(130 << 20, 5);
    const server = await httpServer({ image: large, headers: ETAG, reply: () => ({ cut: 1 << 20 }) });
    expect(Buffer.compare(await fetched(fast(server.url())), large)).toBe(0);
    expect(server.requests).toHaveLength(130);
  });
});

describe('the cost of a drop', () => {
  const large = noise(64 << 20, 7);
  const cuts = [10_000_000, 1, 20_000_000, 65_536, 15_000_001];

  test('is nothing if the connection is closed: every byte is sent once', async () => {
    const server = await httpServer({ image: large, headers: ETAG, reply: inTurn(...cuts.map((cut) => ({ cut }))) });
    expect(Buffer.compare(await fetched(fast(server.url())), large)).toBe(0);
    expect(server.sent()).toBe(64 << 20);
    expect(server.requests.map(({ start }) => start)).toEqual([0, 10_000_000, 10_000_001, 30_000_001, 30_065_537, 45_065_538]);
  });

  test('is at most what is in flight if the connection is reset: each byte received is kept', async () => {
    const given: number[] = [];
    const reply = (_: Seen, number: number): Reply => ({ cut: cuts[number] ?? large.length, how: 'reset' });
    const server = await httpServer({ image: large, headers: ETAG, reply });
    const source = await openSource(
      httpImage(server.url(), {
        retries: 50,
        wait: async () => void given.push(source.bytesRead()),
      }),
    );
    expect(Buffer.compare(await collect(source.cursor.chunks()), large)).toBe(0);
    await source.close();
    expect(server.requests.slice(1).map(({ start }) => start)).toEqual(given);
    // What the kernel holds for a connection, on both sides, and one read of each side besides.
    const buffers = ['rmem', 'wmem'].map((name) => Number(readFileSync(`/proc/sys/net/ipv4/tcp_${name}`, 'utf8').split(/\s+/)[2]));
    const most = buffers.reduce((sum, size) => sum + size, 2 * 65_536);
    expect(server.sent()).toBeLessThanOrEqual((64 << 20) + given.length * most);
  });
});

test('a compressed archive dropped twenty times, anywhere, is still written completely', async () => {
  const size = 24 << 20;
  const blocks = new Map([0, 3, 5, 7, 10].map((block) => [block, noise(2 << 20, block + 1)]));
  const disk = Buffer.alloc(size);
  for (const [block, bytes] of blocks) disk.set(bytes, block * (2 << 20));
  const archive = gzipSync(Buffer.concat([tarMember({}, dynamicVhd({ size, blocks })), TAR_END]), { level: 1 });
  for (const seed of [1, 2, 3]) {
    const random = new Uint32Array(noise(80, seed).buffer);
    const reply = (_: Seen, number: number): Reply => {
      const cut = (random[number] ?? 0) % (archive.length / 15);
      return number < 20 ? { cut: Math.floor(cut), how: number % 2 === 0 ? 'end' : 'reset' } : {};
    };
    const server = await httpServer({ image: archive, headers: ETAG, reply });
    const target = join(testFolder(), 'disk');
    await writeDisk(httpImage(server.url(), { wait }), target, { sha256: createHash('sha256').update(archive).digest('hex') });
    expect(Buffer.compare(readFileSync(target), disk)).toBe(0);
    expect(server.requests.length).toBeGreaterThan(20);
  }
});

describe('no error contains a secret', () => {
  const replies: readonly (readonly [string, Reply])[] = [
    ['a status', { status: 400 }],
    ['the whole image', { noRange: true }],
    ['another image', { headers: { etag: '"SECRET"' } }],
    ['another part', { shift: 1 }],
    ['failures', { status: 503 }],
  ];

  test.each(replies)('after a drop and %s', async (_, reply) => {
    const server = await httpServer({ image, headers: ETAG, reply: (_, number) => (number === 0 ? { cut: 1000 } : reply) });
    const input = fast(`${server.url()}?signature=SECRET#SECRET`, { headers: { 'x-auth-token': 'SECRET' } });
    const source = await openSource(input);
    expect(source.name).not.toContain('SECRET');
    const error = await failure(collect(source.cursor.chunks()));
    await source.close();
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('SECRET');
  });
});

test('each drop is reported to the caller, with the offset at which it resumed', async () => {
  const server = await httpServer({ image, headers: ETAG, reply: inTurn({ cut: 100_000 }, { cut: 50_000 }) });
  const reported: Warning[] = [];
  expect(Buffer.compare(await fetched(fast(server.url()), { onWarning: (warning) => reported.push(warning) }), image)).toBe(0);
  expect(reported.map(({ code, offset }) => [code, offset])).toEqual([
    ['HTTP_RETRY', 100_000],
    ['HTTP_RETRY', 150_000],
  ]);
  expect(reported[0]?.message).toMatch(/127\.0\.0\.1.*; retrying in 0\.5 s$/);
});
