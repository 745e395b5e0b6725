/** Redirects to this host's own addresses. Its services trust it, so a public server must not reach them through vdistream. */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { LookupFunction } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { NETWORK } from '../../src/http/address.ts';
import { createHttp, type Http } from '../../src/http/client.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { httpServer, rawServer } from '../support/http-server.ts';
import { testWith } from '../support/needs.ts';

describe('an address', () => {
  test.each([
    ['host', ['127.0.0.1', '127.255.255.254', '0.0.0.0', '0.1.2.3', '169.254.169.254', '::', '::1', '::127.0.0.1']],
    ['host', ['fe80::1', 'fe80::1%eth0', 'febf::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:169.254.1.1', '::ffff:0.0.0.0']],
    ['private', ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', 'fd00::1', '::ffff:10.0.0.1']],
    ['public', ['8.8.8.8', '126.255.255.255', '128.0.0.1', '169.253.0.1', '172.32.0.1', '2001:db8::1', 'fec0::1', '::ffff:8.8.8.8']],
  ])('is %s: %j', (scope, addresses) => {
    expect(addresses.map((address) => [address, NETWORK.scopeOf(address)])).toEqual(addresses.map((address) => [address, scope]));
  });
});

/** Loopback too, but another address than that of the other servers of the tests; the client takes it for a public one. */
const PUBLIC = '127.0.0.2';

const NAMES: Readonly<Record<string, readonly string[]>> = {
  'public.example': [PUBLIC],
  'inside.example': ['127.0.0.1'],
  'both.example': ['198.51.100.1', '127.0.0.1'],
};

function client(names = NAMES): Http {
  const lookup: LookupFunction = (name, _, callback) =>
    callback(
      null,
      (names[name] ?? []).map((address) => ({ address, family: 4 })),
    );
  const scopeOf = (address: string) => (address === PUBLIC ? 'public' : NETWORK.scopeOf(address));
  const http = createHttp({}, { lookup, scopeOf });
  onTestFinished(() => http.close());
  return http;
}

/** Redirects everything but /end. Resolves with its URL. */
async function publicServer(location: string): Promise<string> {
  const server = createServer(({ url }, response) => {
    if (url === '/end') response.end('the end');
    else response.writeHead(302, { location }).end();
  });
  onTestFinished(() => void server.close());
  await once(server.listen(0, PUBLIC), 'listening');
  const address = server.address();
  return `http://public.example:${typeof address === 'object' ? address?.port : ''}/start`;
}

describe('a redirect from a public server', () => {
  test.each([
    ['127.0.0.1', 'http://127.0.0.1:PORT/'],
    ['127.0.0.1', 'http://2130706433:PORT/'],
    ['127.0.0.1', 'http://0x7f.1:PORT/'],
    ['0.0.0.0', 'http://0:PORT/'],
    ['::1', 'http://[::1]:PORT/'],
    ['::ffff:7f00:1', 'http://[::ffff:127.0.0.1]:PORT/'],
    ['fe80::1', 'http://[fe80::1]:PORT/'],
    ['169.254.169.254', 'http://169.254.169.254/latest/meta-data/'],
    ['127.0.0.1', 'http://inside.example:PORT/'],
    ['127.0.0.1', 'https://inside.example:PORT/'],
    ['127.0.0.1', 'http://both.example:PORT/'],
  ])('to %s as %s is refused, and nothing connects there', async (address, location) => {
    let connections = 0;
    const inside = await rawServer(() => connections++);
    const url = await publicServer(location.replace('PORT', String(inside.port)));
    const error = await failure(client().request(url));
    expect(error).toMatchObject({ code: 'HTTP_REDIRECT', status: 302, message: expect.stringContaining(` to ${address}, `) });
    expect([connections, inside.connections()]).toEqual([0, 0]);
  });

  test('to a server that redirects to this host is refused too, also if that server is a private one', async () => {
    const inside = await httpServer();
    const url = await publicServer(`${await publicServer(inside.url())}`);
    expect(await failure(client().request(url))).toMatchObject({ code: 'HTTP_REDIRECT' });
    expect(inside.requests).toEqual([]);
  });

  test('is refused if its name has another address when it is connected to than when it was named', async () => {
    const inside = await httpServer();
    const names = { ...NAMES };
    const url = await publicServer(`http://public.example:${inside.port}/`);
    const http = client({
      get 'public.example'() {
        const [first = ''] = names['public.example'] ?? [];
        names['public.example'] = ['127.0.0.1'];
        return [first];
      },
    });
    expect(await failure(http.request(url))).toMatchObject({ code: 'HTTP_REDIRECT' });
    expect(inside.requests).toEqual([]);
  });

  test('to itself or to another public server is followed', async () => {
    expect((await client().request(await publicServer('/end'))).status).toBe(200);
    const other = (await publicServer('/end')).replace('/start', '/end');
    expect((await client().request(await publicServer(other))).status).toBe(200);
  });
});

test('a server on this host that the caller named may redirect to this host', async () => {
  const image = Buffer.from('image');
  const server = await httpServer({ image, reply: ({ path }) => (path === '/a' ? { status: 302, headers: { location: '/b' } } : {}) });
  expect((await client().request(server.url('/a'))).status).toBe(200);
  const named = `http://inside.example:${server.port}/a`;
  expect((await client().request(named)).status).toBe(200);
});

/** A network of its own, in which the public server has an address that is public, and /etc/hosts names both. Nothing is replaced. */
const NETWORK_OF_ITS_OWN = `
ip link set lo up && ip address add 203.0.113.5/32 dev lo
mount --bind "$1/hosts" /etc/hosts
"$2" "$1/server.mjs" & server=$!
trap 'kill $server' EXIT
while ! [ -e "$1/ready" ]; do sleep 0.05; done
"$2" "$3" info http://public.example:8080/evil.vhd --json
"$2" "$3" info http://localhost:8080/evil.vhd --json`;

const SERVER = `
import { createServer } from 'node:http';
import { writeFileSync } from 'node:fs';
createServer(({ url }, response) => {
  if (url === '/end') response.end('not a VHD, but reached');
  else response.writeHead(302, { location: 'http://inside.example:8080/end' }).end();
}).listen(8080, '0.0.0.0', () => writeFileSync(new URL('ready', import.meta.url), ''));`;

testWith('root', 'ip')('the command line refuses it on a real network, by the names of the system', () => {
  const folder = testFolder();
  writeFileSync(join(folder, 'hosts'), '203.0.113.5 public.example\n127.0.0.1 localhost inside.example\n');
  writeFileSync(join(folder, 'server.mjs'), SERVER);
  const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  const args = ['--net', '--mount', 'sh', '-c', NETWORK_OF_ITS_OWN, 'sh', folder, process.execPath, main];
  const { stderr } = spawnSync('unshare', args, { encoding: 'utf8' });
  const errors = stderr
    .trim()
    .split('\n')
    .flatMap((line) => JSON.parse(line).error ?? []); // a slow run reports progress too
  expect(errors).toMatchObject([
    { code: 'HTTP_REDIRECT', message: expect.stringContaining('127.0.0.1') },
    { code: 'FORMAT_UNKNOWN' }, // a server on this host may
  ]);
});
