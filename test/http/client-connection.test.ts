import dns from 'node:dns';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { VdiStreamError } from '../../src/errors.ts';
import { collect, noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { client, image, silent } from '../support/http-client.ts';
import { closedPort, httpServer, rawServer } from '../support/http-server.ts';

describe('a server that cannot be reached', () => {
  test('because nothing listens is HTTP_CONNECT, and the message has the reason', async () => {
    const port = closedPort();
    for (const host of ['127.0.0.1', 'localhost']) {
      const error = await failure(client().request(`http://${host}:${port}/`));
      expect(error.code).toBe('HTTP_CONNECT');
      expect(error.message).toContain('ECONNREFUSED');
    }
  });

  test('at any of its addresses is reported with the reason for each', async () => {
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

  test('because its name does not resolve is HTTP_CONNECT', async () => {
    expect((await failure(client().request('http://vdistream.invalid/'))).code).toBe('HTTP_CONNECT');
  });

  test('because it does not continue the TLS handshake is HTTP_CONNECT after the timeout', async () => {
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

  test.each(['end', 'reset'] as const)('but closes the connection (%s) is HTTP_DROPPED', async (how) => {
    const server = await rawServer((socket) => (how === 'end' ? socket.end() : socket.resetAndDestroy()));
    expect((await failure(client().request(server.url()))).code).toBe('HTTP_DROPPED');
  });

  test.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['an invalid length', 'HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['endless headers', `HTTP/1.1 200 OK\r\n${'X-Filler: 0123456789012345678901234567890123456789\r\n'.repeat(2000)}`],
  ])('but sends %s is HTTP_STATUS', async (_, text) => {
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

  test('while the caller does not read is not to blame', async () => {
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

  test('after the last byte is complete', async () => {
    for (const size of sizes) {
      const { taken, error } = await slowly(image.subarray(0, size), 'whole');
      expect(error).toBeUndefined();
      expect(Buffer.compare(taken, image.subarray(0, size))).toBe(0);
    }
  });

  test('before the last byte is a drop, if that can be detected', async () => {
    for (const size of sizes) {
      const { taken, error } = await slowly(image.subarray(0, size), 'end');
      expect(error?.code).toBe(framing === 'nothing' ? undefined : 'HTTP_DROPPED');
      expect(Buffer.compare(taken, image.subarray(0, size))).toBe(0);
    }
  });

  test('with a reset is a drop, and the bytes received before it are correct', async () => {
    for (const size of sizes) {
      const { taken, error } = await slowly(image.subarray(0, size), 'reset');
      expect(error?.code).toBe('HTTP_DROPPED');
      expect(Buffer.compare(taken, image.subarray(0, taken.length))).toBe(0);
    }
  });
});

/** Its answer has no length: a first part, and on request the same amount again and a reset. None of it depends on the client's event loop. */
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

test('a reset that arrives together with the last bytes is a drop, even though the answer has no length', async () => {
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
