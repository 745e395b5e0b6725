import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { glanceImage } from '../../src/glance/image.ts';
import { failure } from '../support/failure.ts';
import { type Fields, glanceV2, hex, honest, ID, imageAt, said, strong, TOKEN, vhd, written } from '../support/glance-stand-in.ts';
import { httpServer, rawServer, type TestServer } from '../support/http-server.ts';

describe('a version 2 answer', () => {
  test.each<[string, Fields]>([
    ['a SHA-512', strong],
    ['only an MD5', honest],
    ['an MD5 beside a digest that Node cannot make', { ...honest, os_hash_algo: 'blake9', os_hash_value: '00' }],
    ['a digest under the name that Python uses', { ...honest, os_hash_algo: 'sha3_256', os_hash_value: hex('sha3-256') }],
    ['a digest in capitals', { ...honest, checksum: hex('md5').toUpperCase() }],
    ['no digest', { ...honest, checksum: null, os_hash_algo: null, os_hash_value: null }],
    ['no size', { ...honest, size: null }],
    ['neither', { id: ID, status: 'active' }],
  ])('with %s is enough', async (_, fields) => {
    await written([await glanceV2(fields)]);
  });

  test.each<[string, Fields]>([
    ['SHA-512, whatever the MD5', { ...strong, os_hash_value: '00'.repeat(64) }],
    ['SHA3-256', { ...honest, os_hash_algo: 'sha3_256', os_hash_value: '00'.repeat(32) }],
    ['MD5', { ...honest, checksum: '00'.repeat(16) }],
    ['MD5 beside a digest that Node cannot make', { ...strong, os_hash_algo: 'blake9', checksum: '00'.repeat(16) }],
  ])('with a wrong %s fails before success is reported', async (_, fields) => {
    expect((await failure(written([await glanceV2(fields)]))).code).toBe('SOURCE_CHECKSUM');
  });

  test.each([1, -1])('with a size that is wrong by %i fails before anything is written', async (wrong) => {
    const server = await glanceV2({ ...strong, size: vhd.length + wrong });
    expect((await failure(imageAt([server]).open({}))).code).toBe('HTTP_CHANGED');
  });

  test.each<[string, Fields | string]>([
    ['a page of HTML', `<html>${TOKEN}</html>`],
    ['nothing', ''],
    ['a cut object', JSON.stringify(strong).slice(0, -1)],
    ['a number', '7'],
    ['null', 'null'],
    ['nested arrays', '['.repeat(200_000) + ']'.repeat(200_000)],
    ['an array', JSON.stringify([strong])],
    ['another image', { ...strong, id: '5c1c3d7e-8d0f-4b1c-a2a4-3d3f0e1f5c56' }],
    ['no id', { ...strong, id: undefined }],
    ['an id that is a number', { ...strong, id: 5 }],
    ['no status', { ...strong, status: null }],
    ['a status that is an object', { ...strong, status: { active: true } }],
    ['an unknown status', { ...strong, status: `${TOKEN}\u001b[2J` }],
    ['a string as size', { ...strong, size: String(vhd.length) }],
    ['a size below zero', { ...strong, size: -1 }],
    ['a fractional size', { ...strong, size: 1.5 }],
    ['a size beyond exact numbers', { ...strong, size: 2 ** 53 }],
    ['a checksum that is a number', { ...honest, checksum: 7 }],
    ['a checksum that is too short', { ...honest, checksum: 'abcd' }],
    ['an array as algorithm', { ...strong, os_hash_algo: ['sha512'] }],
    ['a digest that is an object', { ...strong, os_hash_value: {} }],
    ['a digest of another algorithm', { ...strong, os_hash_algo: 'sha256' }],
    ['a digest that is not hexadecimal', { ...strong, os_hash_value: 'x'.repeat(128) }],
  ])('with %s is refused', async (_, fields) => {
    const server = await glanceV2(fields);
    expect((await failure(written([server]))).code).toBe('GLANCE_ANSWER');
    expect(said(server)).toEqual([`GET /v2/images/${ID}`]);
  });

  test('that is huge is not read to the end', async () => {
    const server = await glanceV2(JSON.stringify({ ...strong, filler: 'x'.repeat(64 << 20) }));
    expect((await failure(written([server]))).code).toBe('GLANCE_ANSWER');
    await server.requests[0]?.closed;
    expect(server.sent()).toBeLessThan(32 << 20);
  });

  test.each(['queued', 'saving', 'uploading', 'importing', 'killed', 'deleted', 'pending_delete', 'deactivated', 'of_tomorrow'])(
    'with the status %s has no image',
    async (status) => {
      const error = await failure(written([await glanceV2({ ...strong, status })]));
      expect(error).toMatchObject({ code: 'GLANCE_STATUS', message: expect.stringMatching(`${ID}.*${status}`) });
    },
  );

  test('that rejects the token is reported without quoting that token', async () => {
    const server = await glanceV2(strong, () => ({ status: 403 }));
    expect(await failure(written([server]))).toMatchObject({ code: 'HTTP_AUTH', status: 403 });
    expect(said(server)).toHaveLength(1);
  });
});

describe('with several endpoints', () => {
  const broken = (): Promise<TestServer> => glanceV2(strong, () => ({ status: 503 }));

  test.each<[string, () => Promise<TestServer>]>([
    ['is out of order', broken],
    ['does not have the image', () => httpServer({ reply: () => ({ status: 404 }) })],
    ['is not Glance', () => glanceV2('<html>')],
    ['rejects the request', () => httpServer({ reply: () => ({ status: 400 }) })],
    ['redirects in a loop', () => httpServer({ reply: () => ({ status: 302, headers: { location: '/' } }) })],
  ])('the next is asked if one %s, and is the first to be asked for the bytes', async (_, other) => {
    const [first, second] = await Promise.all([other(), glanceV2(strong)]);
    await written([first, second]);
    expect(said(first).filter((request) => request !== 'GET /')).toEqual([`GET /v2/images/${ID}`]);
    expect(said(second)).toEqual([`GET /v2/images/${ID}`, `GET /v2/images/${ID}/file`]);
  });

  test('the next is asked if one has no secure connection', async () => {
    const [plain, second] = await Promise.all([glanceV2(strong), glanceV2(strong)]);
    const first = { ...plain, url: () => `https://127.0.0.1:${plain.port}` };
    await written([first, second]);
    expect(plain.requests).toEqual([]);
    expect((await failure(written([first]))).code).toBe('HTTP_TLS');
  });

  test('each is retried before it is abandoned', async () => {
    const server = await glanceV2(strong, (_, number) => (number === 0 ? { refuse: true } : {}));
    await written([server], { retries: 1 });
    expect(said(server)).toEqual([`GET /v2/images/${ID}`, `GET /v2/images/${ID}`, `GET /v2/images/${ID}/file`]);
  });

  test('the error lists what failed at each if none can serve the image', async () => {
    const [first, second] = await Promise.all([glanceV2('<html>'), broken()]);
    const error = await failure(written([first, second]));
    expect(error).toMatchObject({ code: 'HTTP_SERVER', status: 503 });
    expect(error.message).toContain(first.url(''));
    expect(error.message).toContain(second.url(''));
  });

  test('an image that is not active is not looked for at the next', async () => {
    const [first, second] = await Promise.all([glanceV2({ ...strong, status: 'queued' }), glanceV2(strong)]);
    expect((await failure(written([first, second]))).code).toBe('GLANCE_STATUS');
    expect(second.requests).toEqual([]);
  });

  test('the path of each is kept, without a version at its end', async () => {
    const server = await httpServer({ reply: () => ({ status: 404 }) });
    for (const path of ['', '/', '/v1', '/v2/', '/image', '/image//v2//', '/v2/v2', '/v2x']) {
      await failure(glanceImage(ID, { endpoints: [server.url(path)] }).open({}));
    }
    const bases = ['', '', '', '', '/image', '/image', '/v2', '/v2x'];
    expect(said(server)).toEqual(bases.map((base) => `GET ${base}/v2/images/${ID}`));
  });
});

describe('the caller', () => {
  test('can cancel while a server is silent, and no connection is left', async () => {
    const stop = new AbortController();
    const server = await rawServer(() => stop.abort(new Error('enough')));
    const error = await failure(glanceImage(ID, { endpoints: [server.url('')] }).open({ signal: stop.signal }));
    expect(error).toMatchObject({ code: 'CANCELLED', cause: { message: 'enough' } });
    await server.idle();
  });

  test('can cancel during the wait before a retry', async () => {
    const stop = new AbortController();
    const server = await glanceV2(strong, ({ closed }) => {
      void closed.then(() => stop.abort());
      return { status: 503 };
    });
    const error = await failure(imageAt([server], { retries: 1000 }).open({ signal: stop.signal }));
    expect(error.code).toBe('CANCELLED');
  });

  test.each(['', '.', '..', 'a/b', 'a\nb', 'a\u202eb', '\ud800', 'x'.repeat(256)])('cannot pass %j as an id', (id) => {
    expect(() => glanceImage(id, { endpoints: ['http://host'] })).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  test.each(['host:9292', '/images', 'ftp://host', 'http://me:secret@host', 'http://host/?secret', 'http://host/#secret', ''])(
    'cannot pass %j as an endpoint, and the error shows no secret',
    async (endpoint) => {
      const error = await failure((async () => glanceImage(ID, { endpoints: ['http://host', endpoint] }))());
      expect(error.code).toBe('USAGE');
      expect(inspect(error)).not.toContain('secret');
    },
  );

  test('must pass an endpoint', () => {
    expect(() => glanceImage(ID, { endpoints: [] })).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  test('may pass ids of any other form', async () => {
    const server = await httpServer({ reply: () => ({ status: 404 }) });
    for (const id of ['1', 'a b?#%2e', 'é', 'x'.repeat(255)]) await failure(glanceImage(id, { endpoints: [server.url('')] }).open({}));
    const paths = ['1', 'a%20b%3F%23%252e', '%C3%A9', 'x'.repeat(255)];
    expect(said(server)).toEqual(paths.map((path) => `GET /v2/images/${path}`));
  });
});
