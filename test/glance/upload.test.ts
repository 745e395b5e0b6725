import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type GlanceUploadOptions, glanceSink } from '../../src/glance/upload.ts';
import type { Warning } from '../../src/warnings.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { type Answers, type GlanceUploadServer, glanceForUploads, honest, ID, json, status, TOKEN } from '../support/upload-glance.ts';
import type { Script } from '../support/upload-server.ts';

const image = noise(3_000_000, 1);
const NOVA = { diskFormat: 'vhd', containerFormat: 'ovf' };

interface Sending extends Partial<GlanceUploadOptions> {
  readonly length?: number;
  readonly bytes?: Uint8Array;
  readonly warnings?: Warning[];
  readonly signal?: AbortSignal;
}

async function upload(servers: readonly GlanceUploadServer[], sending: Sending = {}): Promise<void> {
  const { length, bytes = image, warnings = [], signal, ...options } = sending;
  const endpoints = servers.map(({ url }) => url(''));
  const opener = glanceSink(ID, { endpoints, headers: { 'X-Auth-Token': TOKEN }, retries: 0, settleTimeout: 1500, ...NOVA, ...options });
  try {
    const sink = await opener.open({ length, replace: false, signal, onWarning: (warning) => warnings.push(warning) });
    try {
      for (let at = 0; at < bytes.length; at += 2_500_000) await sink.write(bytes.subarray(at, at + 2_500_000));
      await sink.finish();
    } catch (error) {
      await sink.abandon();
      throw error;
    }
  } catch (error) {
    expect(inspect(error, { depth: 10 })).not.toContain(TOKEN);
    throw error;
  }
}

const at = (answers: Answers, sending?: Sending): Promise<GlanceUploadServer> =>
  glanceForUploads(answers).then(async (server) => {
    await upload([server], sending);
    return server;
  });

async function failed(answers: Answers, sending?: Sending) {
  const server = await glanceForUploads(answers);
  return { server, error: await failure(upload([server], sending)) };
}

describe('an upload', () => {
  test('checks, changes, sends and compares, in this order', async () => {
    const server = await at({}, { properties: { auto_disk_config: 'True', 'a/b~c': '1' }, visibility: 'private', store: 'fast' });
    expect(server.steps()).toEqual(['GET', 'PATCH', 'PUT', 'GET']);
    expect(server.sent().equals(image)).toBe(true);
    expect(JSON.parse(String(server.uploads[1]?.chunks))).toEqual([
      { op: 'add', path: '/container_format', value: 'ovf' },
      { op: 'add', path: '/disk_format', value: 'vhd' },
      { op: 'add', path: '/visibility', value: 'private' },
      { op: 'add', path: '/auto_disk_config', value: 'True' },
      { op: 'add', path: '/a~1b~0c', value: '1' },
    ]);
    expect(server.uploads[1]?.headers['content-type']).toBe('application/openstack-images-v2.1-json-patch');
    expect(server.uploads[2]?.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'transfer-encoding': 'chunked',
      'x-image-meta-store': 'fast',
    });
    expect(server.uploads[2]?.headers).not.toHaveProperty('if-none-match');
  });

  test('says its length, if that is known', async () => {
    const server = await at({}, { length: image.length });
    const length = String(image.length);
    expect(server.uploads[2]?.headers).toMatchObject({ 'content-length': length, 'x-openstack-image-size': length });
  });

  test.each(['active', 'saving', 'killed', 'deleted', 'deactivated', 'importing'])(
    'to an image that is %s sends nothing',
    async (value) => {
      const { server, error } = await failed({ get: () => status(value) });
      expect(error).toMatchObject({ code: 'GLANCE_NOT_QUEUED', retryable: false, message: expect.stringContaining(value) });
      expect(server.steps()).toEqual(['GET']);
    },
  );

  test('goes to the next endpoint, if one cannot be reached before the first byte', async () => {
    const servers = await Promise.all([glanceForUploads({ get: () => ({ status: 503 }) }), glanceForUploads()]);
    await upload(servers);
    expect(servers.map((server) => server.steps())).toEqual([['GET'], ['GET', 'PATCH', 'PUT', 'GET']]);
  });

  test('can be cancelled at every step', async () => {
    for (const step of ['get', 'patch', 'put', 'after'] as const) {
      const stop = new AbortController();
      const silent = (): Script => {
        setTimeout(() => stop.abort(new Error('enough')), 50);
        return { how: 'silent' };
      };
      expect((await failed({ [step]: silent }, { signal: stop.signal })).error.code).toBe('CANCELLED');
    }
  });
});

const PERMANENT = [400, 402, 405, 406, 409, 410, 411, 412, 413, 414, 415, 416, 417, 422, 423, 424, 426, 501, 505, 510, 401, 403, 407];
const RETRYABLE = [408, 500, 502, 503, 504, 507, 202, 304, 429, 599];

/** What reached the server up to a step that failed. */
const BEFORE = { get: ['GET'], patch: ['GET', 'PATCH'], put: ['GET', 'PATCH', 'PUT'] } as const;

describe.each([...PERMANENT, ...RETRYABLE, 404])('HTTP status %i', (code) => {
  test.each(['get', 'patch'] as const)('in the step %s ends the upload, with nothing sent', async (step) => {
    const { server, error } = await failed({ [step]: () => ({ status: code }) });
    expect(error).toMatchObject({ status: code, retryable: RETRYABLE.includes(code) });
    expect(error.code === 'HTTP_NOT_FOUND').toBe(code === 404);
    expect(server.steps()).toEqual(BEFORE[step]);
  });

  test('after the image, and early, is that error, once the image is queued again', async () => {
    for (const after of [Number.POSITIVE_INFINITY, 1000]) {
      const { server, error } = await failed(
        { put: () => ({ status: code, after }), after: () => status('queued') },
        { bytes: noise(12_000_000, 2) },
      );
      expect(error).toMatchObject({ status: code, retryable: RETRYABLE.includes(code) });
      expect(error.code === 'HTTP_NOT_FOUND').toBe(code === 404);
      expect(server.steps().slice(0, 3)).toEqual(BEFORE.put);
      expect(server.steps().filter((method) => method === 'PUT')).toHaveLength(1);
      expect(server.uploads[2]?.complete).toBe(after > 1000);
    }
  });
});

test.each([
  [401, 'HTTP_AUTH', /token has expired/],
  [409, 'GLANCE_NOT_QUEUED', /no longer queued/],
  [410, 'UPLOAD_REFUSED', /deleted meanwhile/],
  [413, 'UPLOAD_TOO_LARGE', /quota/],
  [415, 'UPLOAD_REFUSED', /disk format/],
  [411, 'UPLOAD_LENGTH', /411/],
  [503, 'HTTP_SERVER', /store/],
])('HTTP status %i for the data is %s, and the message has the reason', async (code, expected, reason) => {
  const { error } = await failed({ put: () => ({ status: code }), after: () => status('queued') });
  expect(error).toMatchObject({ code: expected, message: expect.stringMatching(reason) });
});

describe('an answer that is lost', () => {
  const LOST: ReadonlyArray<readonly [string, Script, Sending]> = [
    ['because the connection ends', { how: 'end' }, {}],
    ['because the connection is reset', { how: 'reset' }, {}],
    ['because none comes', { how: 'silent' }, { answerTimeout: 50 }],
    ['in a proxy', { status: 504 }, {}],
  ];

  describe.each(LOST)('%s', (_, put, sending) => {
    test('does not matter if the image is active, after some time', async () => {
      const warnings: Warning[] = [];
      const server = await at({ put: () => put, after: (number) => (number < 2 ? status('saving') : undefined) }, { ...sending, warnings });
      expect(server.steps()).toEqual(['GET', 'PATCH', 'PUT', 'GET', 'GET', 'GET']);
      expect(warnings).toMatchObject([{ code: 'UPLOAD_ANSWER_LOST', message: expect.stringContaining('is active') }]);
    });

    test.each<[string, Script, string, boolean]>([
      ['queued again', status('queued'), '', true],
      ['deleted', status('deleted'), 'HTTP_NOT_FOUND', false],
      ['gone', { status: 404 }, 'HTTP_NOT_FOUND', false],
      ['killed', status('killed'), 'UPLOAD_REFUSED', false],
      ['saving, and stays so', status('saving'), 'UPLOAD_UNKNOWN', false],
      ['another one', json({ ...honest(image), os_hash_value: '00'.repeat(64) }), 'UPLOAD_CHECKSUM', false],
    ])('is an error if the image is %s', async (_state, after, code, retryable) => {
      const { server, error } = await failed({ put: () => put, after: () => after }, { settleTimeout: 600, ...sending });
      expect(error).toMatchObject({ code: code === '' ? expect.stringMatching(/^HTTP_(DROPPED|SERVER)$/) : code, retryable });
      expect(server.steps().filter((method) => method === 'PUT')).toHaveLength(1);
    });
  });

  test('is unknown once the token has expired', async () => {
    const { error } = await failed({ put: () => ({ how: 'reset' }), after: () => ({ status: 401 }) });
    expect(error).toMatchObject({ code: 'UPLOAD_UNKNOWN', retryable: false });
  });

  test('stays a lost answer if the service can no longer be reached', async () => {
    const { error } = await failed({ put: () => ({ how: 'reset' }), after: () => ({ how: 'reset' }) }, { settleTimeout: 600 });
    expect(error).toMatchObject({ code: 'HTTP_DROPPED', retryable: true });
  });
});

test.each(['end', 'reset'] as const)('a connection that is lost in the middle (%s) can be tried again', async (how) => {
  const { server, error } = await failed({ put: () => ({ how, after: 100_000 }) });
  expect(error).toMatchObject({ code: 'HTTP_DROPPED', retryable: true });
  expect(server.uploads[2]).toMatchObject({ complete: false });
});

describe('what the service has stored', () => {
  const stored = (changed: object) => ({ after: () => json({ ...honest(image), ...changed }) });
  /** Of a Glance older than 2018, whose records have no os_hash_algo. */
  const old = (changed: object = {}): Answers => {
    const { id, status: active, size, checksum } = honest(image);
    return { get: () => json({ id: ID, status: 'queued' }), after: () => json({ id, status: active, size, checksum, ...changed }) };
  };

  test.each<[string, object]>([
    ['another size', { size: 1 }],
    ['another SHA-512', { os_hash_value: '00'.repeat(64) }],
  ])('is refused with %s', async (_, changed) => {
    expect((await failed(stored(changed))).error).toMatchObject({ code: 'UPLOAD_CHECKSUM', retryable: false });
  });

  test.each<[string, object, number]>([
    ['an MD5 only, unlike other images of this service', { os_hash_algo: null, os_hash_value: null }, 1],
    ['a digest that cannot be computed', { os_hash_algo: 'blake9', os_hash_value: '00' }, 1],
    ['a SHA-256, which the service was configured for', { os_hash_algo: 'sha256', os_hash_value: '00'.repeat(32) }, 1],
    ['no digest', { os_hash_algo: null, os_hash_value: null, checksum: null }, 1],
    ['a SHA-512 and no MD5', { checksum: null }, 0],
  ])('with %s is accepted, maybe with a warning', async (_, changed, count) => {
    const warnings: Warning[] = [];
    await at(stored(changed), { warnings });
    expect(warnings.map(({ code }) => code)).toEqual(Array(count).fill('UPLOAD_UNCOMPARED'));
  });

  test.each(['sha256', 'blake2b', 'sha3_256', 'blake2s'])('is compared by %s, if the record has had that before', async (name) => {
    const warnings: Warning[] = [];
    const get = () => json({ id: ID, status: 'queued', os_hash_algo: name });
    const wrong = { os_hash_algo: name, os_hash_value: '00'.repeat(/512|2b/.test(name) ? 64 : 32) };
    expect((await failed({ get, ...stored(wrong) }, { warnings })).error.code).toBe('UPLOAD_CHECKSUM');
    expect(warnings).toEqual([]);
  });

  test('is compared by MD5 if the service is too old for another digest', async () => {
    const warnings: Warning[] = [];
    await at(old(), { warnings });
    expect(warnings).toEqual([]);
    expect((await failed(old({ checksum: '00'.repeat(16) }))).error.code).toBe('UPLOAD_CHECKSUM');
    await at(old({ checksum: null }), { warnings });
    expect(warnings.map(({ code }) => code)).toEqual(['UPLOAD_UNCOMPARED']);
  });

  test('is not active although it was accepted', async () => {
    const { error } = await failed({ after: () => status('saving') }, { settleTimeout: 100 });
    expect(error.code).toBe('UPLOAD_UNKNOWN');
    expect((await failed({ after: () => ({ how: 'reset' }) }, { settleTimeout: 100 })).error.code).toBe('UPLOAD_UNKNOWN');
    expect((await failed({ after: () => status('queued') })).error.code).toBe('HTTP_SERVER');
  });
});
