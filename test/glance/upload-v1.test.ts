import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { glanceSink } from '../../src/glance/upload.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { ID, TOKEN } from '../support/upload-glance.ts';
import { type Script, type UploadServer, uploadServer } from '../support/upload-server.ts';

const image = noise(1_000_000, 1);
const md5 = createHash('md5').update(image).digest('hex');

interface Service {
  readonly before?: string;
  readonly put?: Script;
  readonly checksum?: string;
}

/** Version 1: everything is in headers. */
function glanceV1({ before = 'queued', put = { status: 200 }, checksum = md5 }: Service = {}): Promise<UploadServer> {
  let sent = false;
  return uploadServer({
    script({ method, path, headers }) {
      if (headers['x-auth-token'] !== TOKEN) return { status: 401 };
      if (path !== `/v1/images/${ID}`) return { status: 404 };
      if (method === 'PUT') {
        sent = true;
        return put;
      }
      const record = sent ? { status: 'active', size: String(image.length), checksum } : { status: before, size: '0', checksum: '' };
      const meta = Object.entries({ id: ID, ...record }).map(([name, value]) => [`x-image-meta-${name}`, value]);
      return { status: 200, headers: Object.fromEntries(meta) };
    },
  });
}

async function upload(server: UploadServer, properties: Record<string, string> = {}, headers: Record<string, string> = {}): Promise<void> {
  const sink = await glanceSink(ID, {
    endpoints: [server.url('')],
    version: 1,
    headers: { 'X-Auth-Token': TOKEN, ...headers },
    retries: 0,
    settleTimeout: 500,
    diskFormat: 'vhd',
    containerFormat: 'ovf',
    properties,
  }).open({ length: undefined, replace: false });
  try {
    await sink.write(image);
    await sink.finish();
  } catch (error) {
    await sink.abandon();
    throw error;
  }
}

describe('version 1', () => {
  test('has the attributes in headers, as Nova sends them', async () => {
    const server = await glanceV1();
    await upload(server, { auto_disk_config: 'True', os_type: 'linux' });
    expect(server.uploads.map(({ method }) => method)).toEqual(['HEAD', 'PUT', 'HEAD']);
    expect(Buffer.concat(server.uploads[1]?.chunks ?? []).equals(image)).toBe(true);
    expect(server.uploads[1]?.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'transfer-encoding': 'chunked',
      'x-image-meta-is-public': 'False',
      'x-image-meta-status': 'queued',
      'x-image-meta-disk-format': 'vhd',
      'x-image-meta-container-format': 'ovf',
      'x-glance-registry-purge-props': 'False',
      'x-image-meta-property-auto-disk-config': 'True',
      'x-image-meta-property-os-type': 'linux',
    });
  });

  test('sends nothing to an image that is not queued', async () => {
    const server = await glanceV1({ before: 'active' });
    expect((await failure(upload(server))).code).toBe('GLANCE_NOT_QUEUED');
    expect(server.uploads).toHaveLength(1);
  });

  test('compares the MD5 afterwards', async () => {
    expect((await failure(upload(await glanceV1({ checksum: '0'.repeat(32) })))).code).toBe('UPLOAD_CHECKSUM');
  });

  test.each([201, 204, 500])('expects 200, not %i; a lost answer is settled, too', async (status) => {
    await upload(await glanceV1({ put: { status } }));
    const wrong = await glanceV1({ put: { status }, checksum: '0'.repeat(32) });
    expect((await failure(upload(wrong))).code).toBe('UPLOAD_CHECKSUM');
  });

  test('refuses a property that cannot be a header', async () => {
    const server = await glanceV1();
    expect((await failure(upload(server, { os_type: 'a\nb' }))).code).toBe('USAGE');
    expect(server.uploads.map(({ method }) => method)).toEqual(['HEAD']);
  });
});
