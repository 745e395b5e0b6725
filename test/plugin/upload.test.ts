/** The plugin as it is installed, from a VDI to an image service that answers by script. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect } from 'vitest';
import { writeDisk } from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { content } from '../support/import-host.ts';
import { expectDisk } from '../support/imported.ts';
import { testWith } from '../support/needs.ts';
import { callsOf, expectDetached, novaUpload, refusedUpload, uploadHost } from '../support/plugin-upload.ts';
import { isLong } from '../support/rounds.ts';
import { type Answers, glanceForUploads, honest, ID, json, status, TOKEN } from '../support/upload-glance.ts';
import { type Script, uploadServer } from '../support/upload-server.ts';

const test = testWith('root', 'loop', 'g++', 'tar');
const host = uploadHost('test/support/plugin-quick.ts');

async function refused(answers: Answers, more: object = {}) {
  const server = await glanceForUploads(answers);
  const [kind, message] = await refusedUpload(host(), novaUpload(host(), server.url(''), more));
  return { server, kind, message, what: `while uploading image [${ID}] to glance [${server.url(`/v2/images/${ID}`)}]` };
}

/** The image is a tar.gz with the only member 0.vhd, which holds the disk. */
async function expectNovaImage(image: Buffer): Promise<void> {
  const folder = testFolder();
  writeFileSync(join(folder, 'image.tar.gz'), image);
  const tar = gunzipSync(image);
  expect(tar.toString('latin1', 0, 6)).toBe('0.vhd\0');
  const length = Number.parseInt(tar.toString('latin1', 124, 135), 8);
  expect(tar.subarray(512 + Math.ceil(length / 512) * 512).every((byte) => byte === 0)).toBe(true);
  await writeDisk(join(folder, 'image.tar.gz'), join(folder, 'disk'));
  expectDisk(readFileSync(join(folder, 'disk')), content, 6 * 2 ** 20);
}

describe('success', () => {
  test('is None, for the first VDI as 0.vhd, once it is detached', async () => {
    const server = await glanceForUploads();
    const { reply, value, stderr } = await host().plugin.success(novaUpload(host(), server.url('')));
    expectDetached(host());
    expect([reply?.Value, value]).toEqual(['N.', null]);
    expect(stderr).toBe('');
    expect(server.steps()).toEqual(['GET', 'PATCH', 'PUT', 'GET']);
    expect(JSON.parse(String(server.uploads[1]?.chunks))).toEqual([
      { op: 'add', path: '/container_format', value: 'ovf' },
      { op: 'add', path: '/disk_format', value: 'vhd' },
      { op: 'add', path: '/visibility', value: 'private' },
      { op: 'add', path: '/auto_disk_config', value: 'True' },
      { op: 'add', path: '/os_type', value: 'linux' },
    ]);
    for (const { headers } of server.uploads) {
      expect(headers).toMatchObject({ 'x-auth-token': TOKEN, 'x-tenant-id': 'tenant', 'x-roles': 'admin,member' });
      expect(headers).not.toHaveProperty('x-user-id');
    }
    expect(server.uploads[2]?.headers).toMatchObject({ 'transfer-encoding': 'chunked', 'content-type': 'application/octet-stream' });
    await expectNovaImage(server.sent());
  });

  test('with a level of compression, a smaller image', async () => {
    const [, vdi = ''] = host().vdis;
    const { disk } =
      host()
        .place.host.state()
        .vdi.find(({ uuid }) => uuid === vdi) ?? {};
    const words = Array.from(noise(400_000, 1), (byte) => `word ${byte} `).join('');
    writeFileSync(disk?.path ?? '', words, { flag: 'r+' });
    const sizes: number[] = [];
    for (const level of [1, 9]) {
      const server = await glanceForUploads();
      const properties = { xenapi_image_compression_level: level };
      await host().plugin.success(novaUpload(host(), server.url(''), { properties, vdi_uuids: [vdi] }));
      // Nova's plugin sends it as a property, too.
      expect(String(server.uploads[1]?.chunks)).toContain(`"/xenapi_image_compression_level","value":"${level}"`);
      sizes.push(server.sent().length);
    }
    expect(sizes[1]).toBeLessThan(sizes[0] ?? 0);
  });

  test.each([
    ['the connection ends', { how: 'end' }],
    ['the answer comes from a proxy', { status: 504 }],
  ] satisfies [string, Script][])('is None, too, if the image is active although %s', async (_, put) => {
    const server = await glanceForUploads({ put: () => put, after: (number) => (number < 1 ? status('saving') : undefined) });
    expect((await host().plugin.success(novaUpload(host(), server.url('')))).value).toBeNull();
    expectDetached(host());
  });

  test('upload_vhd uses version 1 of the service', async () => {
    const server = await uploadServer({
      script: ({ method }): Script => {
        const put = server.uploads.find((upload) => upload.method === 'PUT');
        if (method === 'PUT') return { status: 200 };
        const { size, checksum } = honest(Buffer.concat(put?.chunks ?? []));
        const stored = { 'x-image-meta-size': String(size), 'x-image-meta-checksum': String(checksum) };
        const headers = put === undefined ? { 'x-image-meta-status': 'queued' } : { 'x-image-meta-status': 'active', ...stored };
        return { status: 200, headers: { 'x-image-meta-id': ID, ...headers } };
      },
    });
    const { kwargs, env } = novaUpload(host(), '');
    const { endpoint: _, api_version: __, ...rest } = kwargs;
    const old = { ...rest, glance_host: '127.0.0.1', glance_port: server.port, glance_use_ssl: false };
    expect((await host().plugin.success({ fn: 'upload_vhd', kwargs: old, env })).value).toBeNull();
    expectDetached(host());
    const [head, put] = server.uploads;
    expect([head?.method, head?.path, put?.method, put?.path]).toEqual(['HEAD', `/v1/images/${ID}`, 'PUT', `/v1/images/${ID}`]);
    expect(put?.headers).toMatchObject({
      'x-image-meta-is-public': 'False',
      'x-image-meta-status': 'queued',
      'x-image-meta-disk-format': 'vhd',
      'x-image-meta-container-format': 'ovf',
      'x-glance-registry-purge-props': 'False',
      'x-image-meta-property-auto-disk-config': 'True',
      'x-image-meta-property-os-type': 'linux',
      'x-auth-token': TOKEN,
    });
    await expectNovaImage(Buffer.concat(put?.chunks ?? []));
  });
});

const PERMANENT = [400, 401, 402, 403, 405, 406, 407, 409, 410, 411, 412, 413, 414, 415, 416, 417, 422, 423, 424, 426, 501, 505, 510];
const EPHEMERAL = [408, 500, 502, 503, 504, 507];
const UNEXPECTED = [202, 304, 429, 599];
const STEPS = ['get', 'patch', 'early', 'late'] as const;

/** All steps with VDISTREAM_LONG=1. */
const statuses = [...PERMANENT, ...EPHEMERAL, ...UNEXPECTED, 404].flatMap((code, index) =>
  (isLong ? STEPS : STEPS.filter((_, at) => at === index % STEPS.length)).map((step) => [code, step] as const),
);

test.each(statuses)('HTTP status %i, step %s, has the class and the words of Nova, and leaves nothing attached', async (code, step) => {
  const answer = (): Script => ({ status: code, ...(step === 'early' && { after: 1000 }) });
  const plugs = await callsOf(host(), 'vbd-plug');
  const { kind, message, server, what } = await refused({
    [step === 'get' || step === 'patch' ? step : 'put']: answer,
    after: () => status('queued'),
  });
  const name = PERMANENT.includes(code) ? 'Permanent' : EPHEMERAL.includes(code) ? 'Ephemeral' : 'Unexpected';
  if (code === 404) expect([kind, message]).toEqual(['Failure', 'ImageNotFound']);
  else {
    expect(kind).toBe(PERMANENT.includes(code) ? 'PluginError' : 'RetryableError');
    expect(message.startsWith(`Got ${name} Error response [${code}] ${what}. Message: `)).toBe(true);
    expect(message).not.toContain('Http:');
  }
  // Nothing is sent, nor even attached, after a refusal; and there is one attempt only.
  expect((await callsOf(host(), 'vbd-plug')) - plugs).toBe(step === 'get' || step === 'patch' ? 0 : 1);
  expect(server.steps().filter((method) => method === 'PUT')).toHaveLength(step === 'get' || step === 'patch' ? 0 : 1);
});

describe('no success either, and nothing left attached, if', () => {
  test.each<[string, Answers, string, RegExp]>([
    ['the checksum is another', { after: () => json({ ...honest(Buffer.of(1)), size: undefined }) }, 'PluginError', /\(UPLOAD_CHECKSUM\)/],
    ['the size is another', { after: () => json(honest(Buffer.of(1))) }, 'PluginError', /\(UPLOAD_CHECKSUM\)/],
    [
      'the image stays in saving',
      { put: () => ({ how: 'silent' }), after: () => status('saving') },
      'PluginError',
      /still saving.*\(UPLOAD_UNKNOWN\)/,
    ],
    ['it stays so after the answer', { after: () => status('saving') }, 'PluginError', /still saving.*\(UPLOAD_UNKNOWN\)/],
    ['the image was deleted meanwhile', { put: () => ({ how: 'end' }), after: () => status('deleted') }, 'Failure', /^ImageNotFound$/],
    [
      'the connection ends in the middle',
      { put: () => ({ how: 'end', after: 100_000 }), after: () => status('queued') },
      'RetryableError',
      /^Got Ephemeral Error while uploading.*\(HTTP_DROPPED\)/,
    ],
    ['it is reset in the middle', { put: () => ({ how: 'reset', after: 100_000 }) }, 'RetryableError', /\(HTTP_(?:DROPPED|CONNECT)\)/],
    [
      'there is no answer, and the image is queued again',
      { put: () => ({ how: 'silent' }), after: () => status('queued') },
      'RetryableError',
      /^Got Ephemeral Error while/,
    ],
    [
      'the service says success before the end',
      { put: () => ({ status: 204, after: 100_000 }) },
      'RetryableError',
      /^Got Unexpected Error response \[204\]/,
    ],
    ['the answer is that of no image service', { get: () => ({ status: 200, body: '<html>' }) }, 'RetryableError', /\(GLANCE_ANSWER\)/],
  ])('%s', async (_, answers, kind, message) => {
    const found = await refused(answers);
    expect([found.kind, found.message]).toEqual([kind, expect.stringMatching(message)]);
  });

  test.each(['active', 'saving', 'killed', 'deactivated'])(
    'the image is %s before: a PluginError, before anything is attached',
    async (value) => {
      const plugs = await callsOf(host(), 'vbd-plug');
      const { kind, message, server, what } = await refused({ get: () => status(value) });
      expect(kind).toBe('PluginError');
      const reason = `Cannot upload data for image ${ID} as the image status is ${value}`;
      expect(message).toContain(`Got Permanent Error ${what}. Message: ${reason}`);
      expect(server.steps()).toEqual(['GET']);
      expect(await callsOf(host(), 'vbd-plug')).toBe(plugs);
    },
  );

  test('nobody listens: a RetryableError', async () => {
    const [kind, message] = await refusedUpload(host(), novaUpload(host(), 'http://127.0.0.1:1'));
    expect([kind, message]).toEqual(['RetryableError', expect.stringMatching(/^Got Ephemeral Error while.*\(HTTP_CONNECT\)/)]);
  });

  test.each([0, 1, 2])('the VDI %i of the chain does not exist: a PluginError, before the service is asked', async (index) => {
    const vdis = host().vdis.with(index, host().place.host.uuid);
    const { kind, message, server } = await refused({}, { vdi_uuids: vdis });
    expect([kind, message]).toEqual(['PluginError', expect.stringContaining('(XE_UUID)')]);
    expect(server.steps()).toEqual([]);
  });

  test('the VDI is larger than a VHD can be: a PluginError, before anything else', async () => {
    const { place, vdis } = host();
    const [vdi = ''] = vdis;
    const { virtualSize = 0 } = place.host.state().vdi.find(({ uuid }) => uuid === vdi) ?? {};
    await place.host.change('vdi', vdi, { virtualSize: 2040 * 2 ** 30 + 512 });
    const { kind, message, server } = await refused({});
    await place.host.change('vdi', vdi, { virtualSize });
    expect([kind, message]).toEqual(['PluginError', expect.stringContaining('(EXPORT_SIZE)')]);
    expect(server.steps()).toEqual([]);
  });

  test('something writes to the VDI: a PluginError', async () => {
    const { place, vdis } = host();
    const { stdout } = await place.host.run(['vbd-create', `vm-uuid=${place.host.guest}`, `vdi-uuid=${vdis[0]}`, 'device=0', 'mode=RW']);
    const vbd = stdout.trim();
    await place.host.change('vbd', vbd, { currentlyAttached: true });
    const server = await glanceForUploads();
    const { reply } = await host().plugin.call(novaUpload(host(), server.url('')));
    expect(reply?.ErrorDescription?.slice(2)).toEqual(['PluginError', expect.stringContaining('(VDI_BUSY)')]);
    await place.host.change('vbd', vbd, { currentlyAttached: false });
    await place.host.run(['vbd-destroy', `uuid=${vbd}`]);
    expectDetached(host());
    expect(server.steps()).not.toContain('PUT');
  });
});
