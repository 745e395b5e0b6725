/** The plugin as it is installed: from an image service to a VDI, on a host without Xen. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect } from 'vitest';
import { content, glanceV1, glanceV2, honest, ID, TOKEN, vhd } from './support/glance-stand-in.ts';
import type { Reply, Seen, TestServer } from './support/http-server.ts';
import { testWith } from './support/needs.ts';
import { type Answer, type Plugin, startPlugin } from './support/plugin.ts';
import { tarOf } from './support/tar.ts';
import { assertClean } from './xen/clean.ts';
import { type Host, startHost } from './xen/host.ts';

const test = testWith('root', 'loop');

/** As Nova's own plugin uploads it. */
const image = gzipSync(tarOf([['./0.vhd', vhd]]));
const fields = { ...honest, size: image.length, checksum: createHash('md5').update(image).digest('hex') };

const glance = (how: Reply = {}, changed: object = {}): Promise<TestServer> =>
  glanceV2({ ...fields, ...changed }, ({ path }: Seen): Reply => (path.endsWith('/file') ? { image, ...how } : {}));

let plugin: Plugin;
let host: Host;
const srs: Record<string, string> = {};
const made: string[] = [];

beforeAll(async () => {
  plugin = await startPlugin('src/plugin/main.ts');
  host = await startHost();
  for (const type of ['ext', 'lvm']) srs[type] = await host.sr(type);
});

afterAll(async () => {
  await plugin?.end();
  await host?.stop();
});

/** As Nova calls download_vhd2. */
const nova = (server: TestServer, sr: string, token = TOKEN) => ({
  fn: 'download_vhd2',
  kwargs: {
    image_id: ID,
    endpoint: server.url(''),
    uuid_stack: [],
    sr_path: `/var/run/sr-mount/${sr}`,
    extra_headers: { 'X-Auth-Token': token, 'X-User-Id': null },
    api_version: 2,
  },
  env: { VDISTREAM_XE: host.xe, VDISTREAM_INVENTORY: host.inventory },
});

/** The VDI of the answer holds the disk, and zeros behind it; nothing else was made. */
function arrived(vdi: unknown, sr: string): void {
  made.push(String(vdi));
  assertClean(host, { vdis: made });
  const found = host.state().vdi.find(({ uuid }) => uuid === vdi);
  expect(found).toMatchObject({ sr, nameLabel: `glance ${ID}`, tags: [] });
  const bytes = readFileSync(found?.disk.path ?? '');
  expect(bytes.subarray(0, content.length).equals(content)).toBe(true);
  expect(bytes.subarray(content.length).every((byte) => byte === 0)).toBe(true);
}

test.each(['ext', 'lvm'])('download_vhd2 makes a VDI of the image on an SR of type %s', async (type) => {
  const sr = srs[type] ?? '';
  const { value } = await plugin.success(nova(await glance(), sr));
  expect(value).toEqual({ root: { uuid: expect.any(String) } });
  arrived(Object(value).root.uuid, sr);
});

test('the flat form of download_vhd does it with version 1 of the service', async () => {
  const server = await glanceV1();
  const sr = srs.ext ?? '';
  const params = `(dS'image_id'\nS'${ID}'\nsS'glance_host'\nS'127.0.0.1'\nsS'glance_port'\nI${server.port}\nsS'auth_token'\nS'${TOKEN}'\nsS'sr_path'\nS'/${sr}'\nsS'uuid_stack'\n(ls.`;
  const { value } = await plugin.success({ fn: 'download_vhd', members: { params }, env: nova(server, sr).env });
  expect(value).toEqual([{ vdi_type: 'os', vdi_uuid: expect.any(String) }]);
  arrived(Object(value)[0].vdi_uuid, sr);
});

test('a token that the service refuses is a PluginError, and what was made is gone', async () => {
  const [code, fn, kind, message] = await plugin.failure(nova(await glance(), srs.ext ?? '', 'gAAAAABexpired'));
  expect([code, fn, kind]).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2', 'PluginError']);
  expect(message).toContain('(HTTP_AUTH)');
  expect(message).not.toContain('gAAAAABexpired');
  assertClean(host, { vdis: made });
});

test('an image that came damaged is a RetryableError, and what was made is gone', async () => {
  const server = await glance({}, { checksum: '0'.repeat(32) });
  const [code, fn, kind, message] = await plugin.failure(nova(server, srs.lvm ?? ''));
  expect([code, fn, kind]).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2', 'RetryableError']);
  expect(message).toContain('(SOURCE_CHECKSUM)');
  assertClean(host, { vdis: made });
});

test('SIGTERM in the middle of the image is a RetryableError, and what was made is gone', async () => {
  const plugs = (await host.calls()).filter(([command]) => command === 'vbd-plug').length;
  const server = await glance({ cut: image.length / 2, how: 'stall' });
  const answer: Promise<Answer> = plugin.call({ ...nova(server, srs.ext ?? ''), signals: ['SIGTERM'], when: 'told' });
  await host.called('vbd-plug', plugs + 1);
  plugin.tell();
  const [code, fn, kind, message] = (await answer).reply?.ErrorDescription ?? [];
  expect([code, fn, kind]).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2', 'RetryableError']);
  expect(message).toMatch(/^cancelled by SIGTERM \(CANCELLED\)/);
  assertClean(host, { vdis: made });
});

test('a host without xe is told so', async () => {
  const request = nova(await glance(), srs.ext ?? '');
  const [, , kind, message] = await plugin.failure({ ...request, env: { ...request.env, VDISTREAM_XE: '/nowhere/xe' } });
  expect(kind).toBe('PluginError');
  expect(message).toContain('(XE_MISSING)');
});

test('get_version tells the version of the package', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  expect((await plugin.success({ fn: 'get_version', members: {} })).value).toEqual({ version: '2.1', vdistream: version });
});

test.each([
  ['no argument', []],
  ['garbage', ['garbage']],
])('%s is one Failure', async (_what, argv) => {
  expect(await plugin.failure({ argv })).toEqual(['XENAPI_PLUGIN_FAILURE', 'vdistream-plugin', 'ArgumentError', expect.any(String)]);
});
