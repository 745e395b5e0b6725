import { describe, expect, test } from 'vitest';
import { openSource } from '../../src/engine/open.ts';
import { httpImage } from '../../src/http/download.ts';
import { digest, ETAG, fast, fetched, image, inTurn, other, starts } from '../support/download.ts';
import { failure } from '../support/failure.ts';
import { closedPort, httpServer } from '../support/http-server.ts';

describe('several servers', () => {
  test.each([
    ['does not have the image', { status: 404 }],
    ['fails', { status: 500 }],
    ['ends the connection', { refuse: true }],
    ['has something else there', { status: 204 }],
    ['does not understand the question', { status: 400 }],
  ] as const)('are asked in turn, without a wait, if one %s', async (_, reply) => {
    const bad = await httpServer({ reply: () => reply });
    const good = await httpServer({ image });
    const waits: number[] = [];
    const input = httpImage([bad.url(), good.url()], { wait: async (time) => waits.push(time) });
    expect(Buffer.compare(await fetched(input), image)).toBe(0);
    expect([bad.requests.length, good.requests.length, waits.length]).toEqual([1, 1, 0]);
  });

  test('are asked in turn if one has no secure connection', async () => {
    const good = await httpServer({ image });
    expect(Buffer.compare(await fetched(fast([`https://127.0.0.1:${good.port}/`, good.url()])), image)).toBe(0);
    expect(good.requests).toHaveLength(1);
  });

  test('are not asked if another server could not help', async () => {
    const bad = await httpServer({ reply: () => ({ status: 401 }) });
    const good = await httpServer({ image });
    expect((await failure(openSource(fast([bad.url(), good.url()])))).code).toBe('HTTP_AUTH');
    expect(good.requests).toEqual([]);
  });

  test('are retried after a wait once all have failed, except those without the image', async () => {
    const without = await httpServer({ reply: () => ({ status: 404 }) });
    const busy = await httpServer({ image, reply: inTurn({ status: 503 }, { status: 503 }) });
    const down = `http://127.0.0.1:${closedPort()}/`;
    const waits: number[] = [];
    const input = httpImage([without.url(), busy.url(), down], { wait: async (time) => waits.push(time) });
    expect(Buffer.compare(await fetched(input), image)).toBe(0);
    expect(without.requests).toHaveLength(1);
    expect(busy.requests).toHaveLength(3);
    expect(waits).toEqual([500, 1000]);
  });

  test('without the image are HTTP_NOT_FOUND', async () => {
    const servers = await Promise.all([1, 2].map(() => httpServer({ reply: () => ({ status: 404 }) })));
    expect((await failure(openSource(fast(servers.map(({ url }) => url()))))).code).toBe('HTTP_NOT_FOUND');
    expect(servers.map(({ requests }) => requests.length)).toEqual([1, 1]);
  });

  test('resume for each other if a digest is given, and no ETag of one is sent to another', async () => {
    const first = await httpServer({ image, headers: { etag: '"a"' }, reply: inTurn({ cut: 100_000 }, { status: 503 }) });
    const second = await httpServer({ image, headers: { etag: '"b"' }, reply: inTurn({ cut: 50_000 }, { cut: 50_000 }) });
    expect(Buffer.compare(await fetched(fast([first.url(), second.url()], { digest })), image)).toBe(0);
    expect(starts(first.requests)).toEqual([undefined, 'bytes=150000-', 'bytes=200000-']);
    expect(starts(second.requests)).toEqual(['bytes=100000-', 'bytes=150000-']);
    expect(first.requests.map(({ headers }) => headers['if-range'])).toEqual([undefined, '"a"', '"a"']);
    expect(second.requests.map(({ headers }) => headers['if-range'])).toEqual([undefined, '"b"']);
  });

  test('do not resume for each other without a digest', async () => {
    const first = await httpServer({ image, headers: ETAG, reply: inTurn({ cut: 100_000 }, { status: 503 }) });
    const second = await httpServer({ image: other, headers: ETAG });
    expect(Buffer.compare(await fetched(fast([first.url(), second.url()])), image)).toBe(0);
    expect(second.requests).toEqual([]);
  });

  test('with different images are detected by the digest', async () => {
    const first = await httpServer({ image, reply: inTurn({ cut: 100_000 }) });
    const second = await httpServer({ image: other });
    expect((await failure(fetched(fast([first.url(), second.url()], { digest })))).code).toBe('SOURCE_CHECKSUM');
  });
});
