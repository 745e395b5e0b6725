import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { certificateAuthority } from '../support/certificates.ts';
import { collect } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { client, image } from '../support/http-client.ts';
import { httpServer } from '../support/http-server.ts';
import { testWith } from '../support/needs.ts';

describe('TLS', () => {
  testWith('openssl')('is trusted with the certificate of its authority, and not without it', async () => {
    const authority = certificateAuthority(testFolder());
    const server = await httpServer({ image, tls: authority.issue('IP:127.0.0.1') });
    const other = certificateAuthority(testFolder());
    expect((await failure(client().request(server.url()))).code).toBe('HTTP_TLS');
    expect((await failure(client({ ca: other.ca }).request(server.url()))).code).toBe('HTTP_TLS');
    const answer = await client({ ca: `${other.ca}\n${authority.ca}` }).request(server.url());
    expect(Buffer.compare(await collect(answer.body), image)).toBe(0);
  });

  testWith('openssl')('is refused for a certificate with another name, out of date, or self-signed', async () => {
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

  testWith('openssl')('delivers every byte of a connection that ends while the target is slow', async () => {
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

  test('fails with a clear error if the server does not speak it', async () => {
    const server = await httpServer({ image });
    expect(await failure(client().request(`https://127.0.0.1:${server.port}/`))).toMatchObject({
      code: 'HTTP_TLS',
      message: `https://127.0.0.1:${server.port}/: the server does not speak TLS on this port`,
      advice: expect.stringContaining('http://'),
    });
  });

  testWith('openssl')('cannot be turned off by the environment', async () => {
    const server = await httpServer({ image, tls: certificateAuthority(testFolder()).issue('IP:127.0.0.1') });
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect((await failure(client().request(server.url()))).code).toBe('HTTP_TLS');
  });

  test.each(['', 'no certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'])(
    'refuses a certificate file that holds %j',
    async (ca) => {
      expect((await failure(client({ ca }).request('https://127.0.0.1:1/'))).code).toBe('USAGE');
    },
  );
});

testWith('openssl')('an answer without a length over TLS ends when its connection ends', async () => {
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
