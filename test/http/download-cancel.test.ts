import { describe, expect, test, vi } from 'vitest';
import { openSource } from '../../src/engine/open.ts';
import { httpImage } from '../../src/http/download.ts';
import { ETAG, fetched, image } from '../support/download.ts';
import { failure } from '../support/failure.ts';
import { httpServer, rawServer } from '../support/http-server.ts';

describe('cancelling', () => {
  const reason = new Error('enough');

  test('before the source is opened sends no request', async () => {
    const server = await httpServer({ image });
    expect((await failure(openSource(server.url(), { signal: AbortSignal.abort(reason) }))).code).toBe('CANCELLED');
    expect(server.requests).toEqual([]);
  });

  test('while waiting for the answer ends the connection', async () => {
    const controller = new AbortController();
    const server = await rawServer(() => controller.abort(reason));
    expect(await failure(openSource(server.url(), { signal: controller.signal }))).toMatchObject({ code: 'CANCELLED', cause: reason });
    await server.idle();
  });

  test('while waiting for bytes ends the read and the connection, before the source is closed', async () => {
    const controller = new AbortController();
    const server = await httpServer({ image, reply: () => ({ cut: 1000, how: 'stall' }) });
    const source = await openSource(server.url(), { signal: controller.signal });
    await source.cursor.read(1000);
    const waiting = failure(source.cursor.read(1));
    controller.abort(reason);
    expect(await waiting).toMatchObject({ code: 'CANCELLED', cause: reason });
    await server.requests[0]?.closed;
    await source.close();
  });

  test.each(['opened', 'read'])('between two attempts ends the wait, while the source is %s', async (when) => {
    const controller = new AbortController();
    const server = await httpServer({ image, headers: ETAG, reply: () => (when === 'read' ? { cut: 1000 } : { status: 503 }) });
    const input = httpImage(server.url(), {
      wait: (_, signal) => {
        controller.abort(reason);
        expect(signal.aborted).toBe(true);
        return new Promise(() => {});
      },
    });
    expect(await failure(fetched(input, { signal: controller.signal }))).toMatchObject({ code: 'CANCELLED', cause: reason });
    expect(server.requests).toHaveLength(1);
  });

  test('also ends the default wait', async () => {
    const controller = new AbortController();
    const server = await httpServer({
      reply: () => {
        setTimeout(() => controller.abort(reason), 50);
        return { status: 503 };
      },
    });
    const error = await failure(openSource(server.url(), { signal: controller.signal }));
    expect(error).toMatchObject({ code: 'CANCELLED', cause: reason });
  });

  test('leaves no listener on the signal, and neither does success', async () => {
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, 'addEventListener');
    const removed = vi.spyOn(signal, 'removeEventListener');
    const server = await httpServer({ image, reply: ({ path }) => (path === '/bad' ? { status: 404 } : {}) });
    await fetched(server.url(), { signal });
    await failure(openSource(server.url('/bad'), { signal }));
    expect(added.mock.calls.length).toBeGreaterThan(0);
    expect(removed.mock.calls.length).toBe(added.mock.calls.length);
  });
});
