import { describe, expect, test, vi } from 'vitest';
import { collect } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { client, image } from '../support/http-client.ts';
import { httpServer, rawServer } from '../support/http-server.ts';

describe('cancelling', () => {
  const reason = new Error('enough');
  const moments = [
    ['before it began', (url: string) => client().request(url, { signal: AbortSignal.abort(reason) })],
    ['while it waits for TLS', (url: string, signal: AbortSignal) => client().request(url.replace('http:', 'https:'), { signal })],
    ['while it waits for an answer', (url: string, signal: AbortSignal) => client().request(url, { signal })],
  ] as const;

  test.each(moments)('%s ends the request and its connection immediately', async (_, ask) => {
    const controller = new AbortController();
    const server = await rawServer(() => controller.abort(reason));
    const error = await failure(ask(server.url(), controller.signal));
    expect(error).toMatchObject({ code: 'CANCELLED', cause: reason });
    await server.idle();
  });

  test.each(['by the signal', 'by closing the answer', 'by closing the client'])(
    '%s while a read waits for bytes ends it immediately',
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

  test('leaves no listener on the signal, and neither does success', async () => {
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
