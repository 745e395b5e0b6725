/** A server whose file is shorter than it announces. */

import { describe, expect, test } from 'vitest';
import { pauseAfter } from '../../src/host/backoff.ts';
import { httpImage } from '../../src/http/download.ts';
import { silenceAfter } from '../../src/http/retry.ts';
import { digest, ETAG, fast, fetched, image, inTurn, starts } from '../support/download.ts';
import { failure } from '../support/failure.ts';
import { httpServer, type Reply, type Seen } from '../support/http-server.ts';

/** Announces all of the image, and sends the first `has` bytes of it. */
const short =
  (has: number, how: NonNullable<Reply['how']>) =>
  ({ headers }: Seen): Reply => ({ cut: has - Number(/\d+/.exec(String(headers.range ?? '0'))?.[0]), how });

const sizes = (has: number): RegExp => new RegExp(`: the server announced 300000 bytes, but has only the first ${has}$`);

describe('a file that is shorter than announced is HTTP_SHORT, with both sizes', () => {
  test.each([200_000, 0])('once three responses have fallen silent after byte %i', async (has) => {
    const server = await httpServer({ image, headers: ETAG, reply: short(has, 'stall') });
    const waits: number[] = [];
    const input = httpImage(server.url(), { idleTimeout: 100, wait: async (time) => waits.push(time) });
    const error = await failure(fetched(input));
    expect(error).toMatchObject({ code: 'HTTP_SHORT', offset: has, message: expect.stringMatching(sizes(has)) });
    expect(server.requests).toHaveLength(3);
    expect(waits).toEqual([500, 1000]);
  });

  test('within a minute', () => {
    const silences = [0, 1, 2].map((endings) => silenceAfter(endings));
    const pauses = [1, 2].map(pauseAfter);
    expect([...silences, ...pauses].reduce((sum, time) => sum + time)).toBeLessThan(60_000);
    // A connection that is closed is no wait.
    expect([1, 2, 3, 4, 5].map(pauseAfter).reduce((sum, time) => sum + time)).toBeLessThan(60_000);
  });

  test.each([200_000, 0])('once all attempts have ended at byte %i', async (has) => {
    const server = await httpServer({ image, headers: ETAG, reply: short(has, 'end') });
    const error = await failure(fetched(fast(server.url())));
    expect(error).toMatchObject({ code: 'HTTP_SHORT', offset: has, message: expect.stringMatching(sizes(has)) });
    expect(server.requests).toHaveLength(6);
  });

  test('immediately if the server says so', async () => {
    const server = await httpServer({ image, headers: ETAG, reply: inTurn({ cut: 200_000 }, { image: image.subarray(0, 200_000) }) });
    const error = await failure(fetched(fast(server.url())));
    expect(error).toMatchObject({ code: 'HTTP_SHORT', offset: 200_000, message: expect.stringMatching(sizes(200_000)) });
    expect(server.requests).toHaveLength(2);
  });

  test('only if no other server has the rest', async () => {
    const servers = await Promise.all(
      [short(200_000, 'stall'), short(200_000, 'stall'), short(200_000, 'stall'), () => ({})].map((reply) =>
        httpServer({ image, headers: ETAG, reply }),
      ),
    );
    const urls = servers.map((server) => server.url());
    expect(Buffer.compare(await fetched(fast(urls, { digest, idleTimeout: 100 })), image)).toBe(0);
    expect(await failure(fetched(fast(urls.slice(0, 3), { digest, idleTimeout: 100 })))).toMatchObject({ code: 'HTTP_SHORT' });
  });
});

describe('a network that fails keeps all its attempts', () => {
  test.each<[string, Reply]>([
    ['a reset', { cut: 0, how: 'reset' }],
    ['an error of the server', { status: 503 }],
    ['no answer', { refuse: true }],
  ])('with %s among the endings', async (_, other) => {
    const silent: Reply = { cut: 0, how: 'stall' };
    const server = await httpServer({ image, headers: ETAG, reply: inTurn({ cut: 1000, how: 'stall' }, other, silent, silent, silent) });
    expect(Buffer.compare(await fetched(fast(server.url(), { idleTimeout: 100 })), image)).toBe(0);
    expect(server.requests).toHaveLength(6);
  });

  test('with silence at another byte each time', async () => {
    const silent: Reply = { cut: 1000, how: 'stall' };
    const server = await httpServer({ image, headers: ETAG, reply: inTurn(silent, silent, silent, silent, silent, silent, silent) });
    expect(Buffer.compare(await fetched(fast(server.url(), { idleTimeout: 100 })), image)).toBe(0);
    expect(starts(server.requests).at(-1)).toBe('bytes=7000-');
  });
});
