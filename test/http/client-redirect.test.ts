import { describe, expect, test } from 'vitest';
import { certificateAuthority } from '../support/certificates.ts';
import { collect } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { client, image } from '../support/http-client.ts';
import { httpServer } from '../support/http-server.ts';
import { testWith } from '../support/needs.ts';

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

  test('is followed at most five times', async () => {
    const server = await httpServer({ image, reply: ({ path }) => (path === '/0' ? {} : to(`/${Number(path.slice(1)) - 1}`)) });
    expect((await client().request(server.url('/5'))).status).toBe(200);
    expect((await failure(client().request(server.url('/6')))).code).toBe('HTTP_REDIRECT');
  });

  test('to itself is not followed endlessly', async () => {
    const server = await httpServer({ reply: ({ path }) => to(path) });
    expect((await failure(client().request(server.url()))).code).toBe('HTTP_REDIRECT');
    expect(server.requests).toHaveLength(6);
  });

  test('without a Location is an answer like any other', async () => {
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

  testWith('openssl')('from an encrypted to an unencrypted connection is refused, and nothing is sent there', async () => {
    const authority = certificateAuthority(testFolder());
    const plain = await httpServer({ image });
    const server = await httpServer({ tls: authority.issue('IP:127.0.0.1'), reply: () => to(plain.url()) });
    expect((await failure(client({ ca: authority.ca }).request(server.url()))).code).toBe('HTTP_REDIRECT');
    expect(plain.requests).toEqual([]);
  });

  testWith('openssl')('from an unencrypted to an encrypted connection does not pass the token on', async () => {
    const authority = certificateAuthority(testFolder());
    const server = await httpServer({ image, tls: authority.issue('IP:127.0.0.1') });
    const plain = await httpServer({ reply: () => to(server.url()) });
    expect((await client({ ca: authority.ca, headers: { 'x-auth-token': 'secret' } }).request(plain.url())).status).toBe(200);
    expect(plain.requests[0]?.headers['x-auth-token']).toBe('secret');
    expect(server.requests[0]?.headers['x-auth-token']).toBeUndefined();
  });

  test('keeps the caller’s headers on the same host and port, drops them for any other, and never sends them again after that', async () => {
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
