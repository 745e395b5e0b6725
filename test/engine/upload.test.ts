import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type UploadImageOptions, type UploadResult, uploadImage } from '../../src/index.ts';
import type { Warning } from '../../src/warnings.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { closedPort } from '../support/http-server.ts';
import { type GlanceUploadServer, glanceForUploads, honest, ID, json, status, TOKEN } from '../support/upload-glance.ts';
import { uploadServer } from '../support/upload-server.ts';

function rawDisk(bytes: Uint8Array = noise(3 << 20, 1)): string {
  const path = join(testFolder(), 'disk');
  writeFileSync(path, bytes);
  return path;
}

const HEADERS = { 'X-Auth-Token': TOKEN };

function upload(
  servers: readonly Pick<GlanceUploadServer, 'url'>[],
  options: Partial<UploadImageOptions> = {},
  id: string | undefined = ID,
): Promise<UploadResult> {
  const endpoints = servers.map(({ url }) => url('/v2/'));
  return uploadImage(rawDisk(), id, { endpoints, headers: HEADERS, raw: true, retries: 0, settleTimeout: 3000, ...options });
}

const puts = (server: GlanceUploadServer): number => server.steps().filter((method) => method === 'PUT').length;

describe('an upload that fails', () => {
  test('is repeated as a whole, once the service has noticed', async () => {
    const warnings: Warning[] = [];
    const server = await glanceForUploads({
      get: (number) => ([1, 2].includes(number) ? status('saving') : undefined),
      put: (number) => (number === 0 ? { how: 'reset', after: 100_000 } : undefined),
    });
    const result = await upload([server], { retries: 1, container: 'none', onWarning: (warning) => warnings.push(warning) });
    expect(server.steps()).toEqual(['GET', 'PATCH', 'PUT', 'GET', 'GET', 'GET', 'PATCH', 'PUT', 'GET']);
    expect(server.sent(1).length).toBe(result.bytesWritten);
    expect(warnings).toMatchObject([{ code: 'HTTP_RETRY' }]);
    expect(result.warnings).toEqual(warnings);
  });

  test('goes to the next endpoint, from the first byte', async () => {
    const [first, second] = await Promise.all([
      glanceForUploads({ put: () => ({ status: 503 }), after: () => status('queued') }),
      glanceForUploads(),
    ]);
    const result = await upload([{ url: () => `http://127.0.0.1:${closedPort()}` }, first, second]);
    expect(result).toMatchObject({ endpoint: second.url(''), compared: 'sha512' });
    expect([puts(first), puts(second)]).toEqual([1, 1]);
    expect(gunzipSync(second.sent()).subarray(0, 5).toString()).toBe('0.vhd');
  });

  test('is retried as often as asked if the service cannot be reached, with no wait besides', async () => {
    const server = await glanceForUploads({ get: () => ({ status: 503 }) });
    expect((await failure(upload([server], { retries: 2, settleTimeout: 60_000 }))).code).toBe('HTTP_SERVER');
    expect(server.steps()).toEqual(['GET', 'GET', 'GET']);
  });

  test('is given up when the retries are used up, with the error of each endpoint', async () => {
    const answers = { put: () => ({ status: 500 }), after: () => status('queued') };
    const servers = await Promise.all([glanceForUploads(answers), glanceForUploads(answers)]);
    const error = await failure(upload(servers, { retries: 1 }));
    expect(error).toMatchObject({ code: 'HTTP_SERVER', status: 500 });
    expect(servers.map(puts)).toEqual([2, 2]);
  });

  test.each([400, 401, 409, 410, 413, 415])('with HTTP status %i is not repeated, nor sent elsewhere', async (code) => {
    const [first, second] = await Promise.all([glanceForUploads({ put: () => ({ status: code }) }), glanceForUploads()]);
    expect(await failure(upload([first, second], { retries: 3 }))).toMatchObject({ status: code, retryable: false });
    expect(second.uploads).toEqual([]);
  });

  test('because the image differs afterwards is not repeated', async () => {
    const server = await glanceForUploads({ after: () => json({ ...honest(Buffer.alloc(1)), size: null }) });
    expect((await failure(upload([server], { retries: 3 }))).code).toBe('UPLOAD_CHECKSUM');
    expect(puts(server)).toBe(1);
  });

  test('because of the disk is not repeated, and reaches no other endpoint', async () => {
    const servers = await Promise.all([glanceForUploads(), glanceForUploads()]);
    const name = 'broken';
    const disk = {
      name,
      open: async () => ({
        name,
        size: 64 << 20,
        align: 512,
        read: async (_: Uint8Array, offset: number) => {
          if (offset > 8 << 20) throw new Error('a bug, or bad luck');
        },
        mayHold: async function* () {
          yield { offset: 0, length: 64 << 20 };
        },
        version: async () => undefined,
        sharesBytesWith: async () => false,
        close: async () => {},
      }),
    };
    const endpoints = servers.map(({ url }) => url(''));
    await expect(uploadImage(disk, ID, { endpoints, headers: HEADERS, format: 'raw', retries: 3 })).rejects.toThrow('bad luck');
    expect(servers[1]?.uploads).toEqual([]);
    await servers[0]?.uploads.at(-1)?.closed;
    expect(servers[0]?.uploads.filter(({ method, complete }) => method === 'PUT' && complete)).toEqual([]);
  });
});

describe('an image that is created', () => {
  const created = { get: () => undefined };

  /** Records are at the id that the client has chosen. */
  async function service(answers: Parameters<typeof glanceForUploads>[0] = created) {
    const seen = { id: '' };
    const server = await uploadServer({
      script({ method, path, headers, chunks }, number) {
        if (headers['x-auth-token'] !== TOKEN) return { status: 401 };
        const step = ({ POST: 'post', DELETE: 'delete', PATCH: 'patch', PUT: 'put', GET: 'get' } as const)[method];
        if (step === 'post') seen.id = path;
        const upload = server.uploads[number];
        const scripted = step === undefined || upload === undefined ? undefined : answers[step]?.(number, upload);
        if (scripted !== undefined) return scripted;
        if (step === 'post') return { status: 201 };
        if (step === 'delete') return { status: 204 };
        if (step === 'patch') return { status: 200 };
        if (step === 'put') return { status: 204 };
        const sent = server.uploads.find((each) => each.method === 'PUT')?.chunks ?? chunks;
        const id = decodeURIComponent(path.slice('/v2/images/'.length));
        return sent.length === 0 ? json({ id, status: 'queued' }) : json({ ...honest(Buffer.concat(sent)), id });
      },
    });
    return { ...server, steps: () => server.uploads.map(({ method }) => method) };
  }

  const create = (server: Pick<GlanceUploadServer, 'url'>, options: Partial<UploadImageOptions> = {}): Promise<UploadResult> =>
    uploadImage(rawDisk(), undefined, {
      endpoints: [server.url('')],
      headers: HEADERS,
      raw: true,
      retries: 0,
      settleTimeout: 500,
      ...options,
    });

  test('has name, visibility, formats and properties', async () => {
    const server = await service();
    const result = await create(server, { name: 'root', visibility: 'shared', properties: { os_type: 'linux' } });
    expect(result).toMatchObject({ created: true, image: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    expect(server.steps()).toEqual(['POST', 'GET', 'PATCH', 'PUT', 'GET']);
    expect(JSON.parse(String(server.uploads[0]?.chunks))).toEqual({
      id: result.image,
      name: 'root',
      container_format: 'ovf',
      disk_format: 'vhd',
      visibility: 'shared',
      os_type: 'linux',
    });
  });

  test('is there already if only the answer was lost', async () => {
    const server = await service({ post: (number) => (number === 0 ? { how: 'reset' } : { status: 409 }) });
    expect(await create(server, { retries: 1 })).toMatchObject({ created: true });
    const [first, second] = server.uploads.filter(({ method }) => method === 'POST');
    expect(String(first?.chunks)).toBe(String(second?.chunks));
  });

  test.each([413, 415])('is removed again if the upload fails with HTTP status %i', async (code) => {
    const server = await service({ put: () => ({ status: code }) });
    await failure(create(server));
    expect(server.steps().at(-1)).toBe('DELETE');
  });

  test('that cannot be removed is in `left` of the error that came first', async () => {
    const server = await service({ put: () => ({ status: 413 }), delete: () => ({ status: 403 }) });
    const error = await failure(create(server));
    expect(error).toMatchObject({ code: 'UPLOAD_TOO_LARGE', left: [expect.stringMatching(/^glance image .* was not deleted: .*403/)] });
  });

  test('is removed if the upload is cancelled, also while it is created', async () => {
    for (const step of ['post', 'put'] as const) {
      const stop = new AbortController();
      const server = await service({
        [step]: () => {
          setTimeout(() => stop.abort(), 50);
          return { how: 'silent' };
        },
      });
      expect((await failure(create(server, { signal: stop.signal }))).code).toBe('CANCELLED');
      expect(server.steps().at(-1)).toBe('DELETE');
    }
  });

  test('is not created if the service refuses', async () => {
    const server = await service({ post: () => ({ status: 403 }) });
    expect((await failure(create(server))).code).toBe('HTTP_AUTH');
    expect(server.steps()).toEqual(['POST']);
    expect((await failure(create(server, { version: 1 }))).code).toBe('USAGE');
  });
});

test('progress is reported, and memory stays bounded while the server is slow', async () => {
  const server = await uploadServer({
    keep: false,
    script: ({ method, path }) =>
      method === 'PUT'
        ? { status: 413, after: 100 << 20 }
        : method === 'GET'
          ? json({ id: path.split('/').at(-1), status: 'queued' })
          : { status: 200 },
  });
  const path = join(testFolder(), 'disk');
  writeFileSync(path, noise(1 << 20, 1));
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  let reported = 0;
  const disk = {
    name: 'noise',
    open: async () => ({
      name: 'noise',
      size: 200 << 20,
      align: 512,
      read: async (into: Uint8Array) => void into.fill(7),
      mayHold: async function* () {
        yield { offset: 0, length: 200 << 20 };
      },
      version: async () => undefined,
      sharesBytesWith: async () => false,
      close: async () => {},
    }),
  };
  const error = await failure(
    uploadImage(disk, ID, {
      endpoints: [server.url('')],
      container: 'none',
      format: 'raw',
      retries: 0,
      onProgress: () => {
        reported++;
        most = Math.max(most, process.memoryUsage().arrayBuffers - before);
      },
    }),
  );
  expect(error.code).toBe('UPLOAD_TOO_LARGE');
  expect(reported).toBeGreaterThan(10);
  expect(most).toBeLessThan(64 << 20);
});

test.each<[string, object, string]>([
  ['no endpoint', { endpoints: [] }, 'endpoint'],
  ['an unknown option', { endpoints: ['http://h'], verify: true }, 'verify'],
  ['a property that is no string', { endpoints: ['http://h'], properties: { a: 1 } }, 'properties'],
  ['an unknown visibility', { endpoints: ['http://h'], visibility: 'all' }, 'visibility'],
  ['a bare fixed VHD', { endpoints: ['http://h'], container: 'none', format: 'fixed-vhd' }, 'fixed VHD'],
])('%s is USAGE, before anything is opened', async (_, options, text) => {
  const error = await failure(Reflect.apply(uploadImage, undefined, ['/nowhere', ID, options]));
  expect(error).toMatchObject({ code: 'USAGE', message: expect.stringContaining(text) });
});
