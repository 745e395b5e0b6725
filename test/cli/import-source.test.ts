/** What SRC of `vdistream import` can be, besides a file. */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { certificateAuthority } from '../support/certificates.ts';
import { host, imported, made, nameOf, refused, run, sr, stored } from '../support/cli-import.ts';
import { testFolder } from '../support/folder.ts';
import { content, glanceV1, glanceV2, honest, ID, said, strong, TOKEN, vhd } from '../support/glance-stand-in.ts';
import { closedPort, httpServer } from '../support/http-server.ts';
import { testWith } from '../support/needs.ts';

const test = testWith('root', 'loop', 'g++');

describe('a URL', () => {
  test('is imported, looked at, checked and compared', async () => {
    const { url } = await httpServer({ image: vhd });
    await imported([url('/a.vhd?signature=s3cret')]);
    expect(nameOf(made.at(-1))).toBe('a.vhd');
    const looked = await run(['info', url('/a.vhd?signature=s3cret')]);
    expect(looked).toMatchObject({ status: 0, stdout: expect.stringContaining(`${content.length} bytes`) });
    const checked = await run(['check', url('/a.vhd?signature=s3cret')]);
    expect(checked).toMatchObject({ status: 0, stdout: expect.stringContaining('/a.vhd: good: 0 errors') });
    expect(looked.stdout + checked.stdout).not.toContain('s3cret');
    const same = stored('same', content);
    expect(await run(['verify', url(), same])).toMatchObject({ status: 0, stdout: expect.stringContaining('holds the image') });
    const other = Buffer.from(content);
    other.writeUInt8(other.readUInt8(70_000) ^ 1, 70_000);
    expect(await run(['verify', url(), stored('other', other)])).toMatchObject({
      status: 4,
      stderr: expect.stringContaining('VERIFY_MISMATCH'),
    });
  });

  test('of a server with a private certificate is fetched with --ca, and never without', async () => {
    const folder = testFolder();
    const authority = certificateAuthority(folder);
    const server = await httpServer({ image: vhd, tls: authority.issue('IP:127.0.0.1') });
    expect(await refused([server.url(), '--sr', sr], 1)).toContain('(HTTP_TLS)');
    expect(server.requests).toEqual([]);
    await imported([server.url(), '--ca', stored('ca.pem', authority.ca)]);
    expect(await refused([server.url(), '--sr', sr, '--ca', stored('none.pem', 'nothing')], 2)).toContain('PEM');
    expect(await refused([server.url(), '--sr', sr, '--ca', '/nowhere/ca.pem'], 2)).toContain('/nowhere/ca.pem');
  });

  test('gets the headers of a file, and no token that is for Glance', async () => {
    const server = await httpServer({ image: vhd });
    const headers = stored('headers', `# for this server\n\nX-One: a: b \r\nAuthorization:Basic ${TOKEN}\n`);
    await imported([server.url(), '--headers', headers], content, { env: { OS_TOKEN: 'gAAAAABother' } });
    for (const request of server.requests) expect(request.headers).toMatchObject({ 'x-one': 'a: b', authorization: `Basic ${TOKEN}` });
    expect(server.requests.some(({ headers: sent }) => 'x-auth-token' in sent)).toBe(false);
  });

  test.each([
    ['has no name', `X-Auth-Token: a\n${TOKEN}\n`, 'line 2'],
    ['is no header', `X-Auth Token: ${TOKEN}\n`, 'a header name has a character'],
    ['holds what no header may', `X-Auth-Token: ${TOKEN}\u{1f4be}\n`, 'x-auth-token'],
  ])('is not fetched where a line of the file %s, which is not shown', async (_, text, sentence) => {
    const server = await httpServer({ image: vhd });
    expect(await refused([server.url(), '--sr', sr, '--headers', stored('headers', text)], 2)).toContain(sentence);
    expect(server.requests).toEqual([]);
  });
});

describe('an image of Glance', () => {
  const from = (...endpoints: readonly string[]): string[] => [`glance:${ID}`, ...endpoints.flatMap((one) => ['--glance', one])];
  const token = { env: { OS_TOKEN: TOKEN } };

  test('comes with the token of the environment, which nobody gets to see', async () => {
    const server = await glanceV2(strong);
    await imported(from(server.url('')), content, token);
    expect(nameOf(made.at(-1))).toBe(`glance image ${ID}`);
    for (const { headers } of server.requests) expect(headers['x-auth-token']).toBe(TOKEN);
    const { stdout, stderr } = await run(['info', ...from(server.url('/v2')), '--json'], token);
    expect(JSON.parse(stdout)).toMatchObject({ virtualSize: content.length });
    expect(stdout + stderr).not.toContain(TOKEN);
    expect(JSON.stringify(await host.calls())).not.toContain(TOKEN);
  });

  test('comes with the token of a file, which counts before that of the environment', async () => {
    const server = await glanceV2(strong);
    const headers = stored('headers', `X-Auth-Token: ${TOKEN}`);
    await imported([...from(server.url('')), '--headers', headers], content, { env: { OS_TOKEN: 'gAAAAABold' } });
  });

  test.each(['gAAAAABwrong', ''])('is refused without the right token, and the message has none: %j', async (wrong) => {
    const server = await glanceV2(strong);
    const said = await refused([...from(server.url('')), '--sr', sr], 1, { env: { OS_TOKEN: wrong } });
    expect(said).toContain('(HTTP_AUTH)');
    expect(said).not.toContain('gAAAAAB');
    expect('x-auth-token' in (server.requests[0]?.headers ?? {})).toBe(wrong !== '');
  });

  test('comes from the second endpoint where nobody answers at the first', async () => {
    const server = await glanceV2(strong);
    const dead = `http://127.0.0.1:${await closedPort()}`;
    await imported(from(dead, server.url('')), content, token);
    expect(said(server)).toEqual([`GET /v2/images/${ID}`, `GET /v2/images/${ID}/file`]);
  });

  test('comes from a service of version 1', async () => {
    const server = await glanceV1();
    await imported([...from(server.url('')), '--glance-version', '1'], content, token);
    expect(said(server)).toEqual([`HEAD /v1/images/${ID}`, `GET /v1/images/${ID}`]);
  });

  test('is fetched whole first with --staging, and nothing of it stays there', async () => {
    const server = await glanceV2(strong);
    const staging = join(testFolder(), 'made', 'when needed');
    await imported([...from(server.url('')), '--staging', staging], content, token);
    expect(readdirSync(staging)).toEqual([]);
    const lying = await glanceV2({ ...strong, os_hash_value: createHash('sha512').update('another').digest('hex') });
    const wrong = await refused([...from(lying.url('')), '--staging', staging, '--sr', sr], 1, token);
    expect(wrong).toContain('(SOURCE_CHECKSUM)');
    expect(readdirSync(staging)).toEqual([]);
  });

  test('is fetched only once with --cache, whichever command reads it', async () => {
    const server = await glanceV2(strong);
    const cache = join(testFolder(), 'cache');
    const kept = [...from(server.url('')), '--cache', cache, '--cache-size', '1M'];
    const bytes = (): number => said(server).filter((line) => line.endsWith('/file')).length;
    await imported(kept, content, token);
    await imported(kept, content, token);
    expect(await run(['check', ...kept], token)).toMatchObject({ status: 0 });
    expect(bytes()).toBe(1);
    const names = readdirSync(cache);
    expect(names).toHaveLength(1);
    expect(readFileSync(join(cache, names[0] ?? '')).equals(vhd)).toBe(true);
    // What has been changed there is no longer what its name says, and is fetched anew.
    writeFileSync(join(cache, names[0] ?? ''), Buffer.alloc(vhd.length));
    await imported(kept, content, token);
    expect(bytes()).toBe(2);
  });

  test('that is too large for the cache is imported anyway, and not kept', async () => {
    const server = await glanceV2(honest);
    const cache = testFolder();
    await imported([...from(server.url('')), '--cache', cache, '--cache-size', '100K'], content, token);
    expect(readdirSync(cache)).toEqual([]);
  });
});
