/** The plugin as it is installed: from an image service to a VDI, on a host without Xen. */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { chainTar, sampleChain } from '../support/chains.ts';
import { testFolder } from '../support/folder.ts';
import { type Glance, startGlance } from '../support/glance-server.ts';
import { content, glanceV1, glanceV2, honest, ID, said, TOKEN, vhd } from '../support/glance-stand-in.ts';
import type { Reply, Seen, TestServer } from '../support/http-server.ts';
import { bytesOf, expectDisk } from '../support/imported.ts';
import { testWith } from '../support/needs.ts';
import { type Answer, type Plugin, startPlugin } from '../support/plugin.ts';
import { tarOf } from '../support/tar.ts';

const test = testWith('root', 'loop', 'g++');

/** As Nova's own plugin uploads it. */
const image = gzipSync(tarOf([['./0.vhd', vhd]]));
const fields = { ...honest, size: image.length, checksum: createHash('md5').update(image).digest('hex') };

const glance = (how: Reply = {}, changed: object = {}): Promise<TestServer> =>
  glanceV2({ ...fields, ...changed }, ({ path }: Seen): Reply => (path.endsWith('/file') ? { image, ...how } : {}));

/** A port without a listener, now and later. */
const NOWHERE = 'http://127.0.0.1:1';

let plugin: Plugin;
/** Another one, for the slow tests: the plugin retries several times before it abandons a service. */
let patient: Plugin;
let nobody: Promise<readonly string[]>;
let host: Host;
const srs: Record<string, string> = {};
const made: string[] = [];

beforeAll(async () => {
  plugin = await startPlugin('src/plugin/main.ts');
  host = await startHost();
  for (const type of ['ext', 'lvm']) srs[type] = await host.sr(type);
  patient = await startPlugin('src/plugin/main.ts');
  nobody = patient.failure(nova({ url: () => NOWHERE }, srs.lvm ?? ''));
  nobody.catch(() => {}); // reported where it is awaited
});

afterAll(async () => {
  await plugin?.end();
  await patient?.end();
  await host?.stop();
});

/** As Nova calls download_vhd2. */
const nova = (server: Pick<TestServer, 'url'>, sr: string, token = TOKEN, id = ID) => ({
  fn: 'download_vhd2',
  kwargs: {
    image_id: id,
    endpoint: server.url(''),
    uuid_stack: [],
    sr_path: `/var/run/sr-mount/${sr}`,
    extra_headers: { 'X-Auth-Token': token, 'X-User-Id': null },
    api_version: 2,
  },
  env: {
    VDISTREAM_XE: host.xe,
    VDISTREAM_INVENTORY: host.inventory,
    VDISTREAM_LOCKS: join(host.folder, 'locks'),
    VDISTREAM_RECORDS: join(host.folder, 'records'),
  },
});

/** The VDI in the answer holds the disk, with zeros after it; nothing else was created. */
function arrived(vdi: unknown, sr: string, disk = content, id = ID): void {
  made.push(String(vdi));
  assertClean(host, { vdis: made });
  expect(host.state().vdi.find(({ uuid }) => uuid === vdi)).toMatchObject({ sr, nameLabel: `glance ${id}`, tags: [] });
  expectDisk(bytesOf(host, String(vdi)), disk, 2 * 2 ** 20);
}

/** Class and message; nothing is left. */
async function refused(request: ReturnType<typeof nova>): Promise<readonly [kind: string, message: string]> {
  const [code, fn, kind = '', message = ''] = await plugin.failure(request);
  expect([code, fn]).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2']);
  assertClean(host, { vdis: made });
  return [kind, message];
}

test.each(['ext', 'lvm'])('download_vhd2 imports the image into a VDI on an SR of type %s', async (type) => {
  const sr = srs[type] ?? '';
  const { value } = await plugin.success(nova(await glance(), sr));
  expect(value).toEqual({ root: { uuid: expect.any(String) } });
  arrived(Object(value).root.uuid, sr);
});

test('a chain is imported completely in any order of its layers, such as that of a folder in Dom0', async () => {
  const chain = sampleChain({ shuffled: true });
  const tar = gzipSync(chainTar(chain.vhds, [2, 0, 1]));
  const checksum = createHash('md5').update(tar).digest('hex');
  const server = await glance({ image: tar }, { size: tar.length, checksum });
  const answer = await plugin.success(nova(server, srs.ext ?? ''));
  arrived(Object(answer.value).root.uuid, srs.ext ?? '', chain.content);
  expect(answer.stderr).toContain('(FETCHED_TWICE)');
});

test('the flat form of download_vhd uses version 1 of the service', async () => {
  const server = await glanceV1();
  const sr = srs.ext ?? '';
  const params = `(dS'image_id'\nS'${ID}'\nsS'glance_host'\nS'127.0.0.1'\nsS'glance_port'\nI${server.port}\nsS'auth_token'\nS'${TOKEN}'\nsS'sr_path'\nS'/${sr}'\nsS'uuid_stack'\n(ls.`;
  const { value } = await plugin.success({ fn: 'download_vhd', members: { params }, env: nova(server, sr).env });
  expect(value).toEqual([{ vdi_type: 'os', vdi_uuid: expect.any(String) }]);
  arrived(Object(value)[0].vdi_uuid, sr);
});

test('a token that the service refuses is a PluginError, and nothing is left behind', async () => {
  const { reply, stderr } = await plugin.call(nova(await glance(), srs.ext ?? '', 'gAAAAABexpired'));
  const [code, fn, kind, message] = reply?.ErrorDescription ?? [];
  expect([code, fn, kind]).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2', 'PluginError']);
  expect(message).toContain('(HTTP_AUTH)');
  expect(stderr).toContain('(HTTP_AUTH)');
  expect(message + stderr).not.toContain('gAAAAABexpired');
  assertClean(host, { vdis: made });
});

test('an image that arrives damaged is a RetryableError, and nothing is left behind', async () => {
  const [kind, message] = await refused(nova(await glance({}, { checksum: '0'.repeat(32) }), srs.lvm ?? ''));
  expect(kind).toBe('RetryableError');
  expect(message).toContain('(SOURCE_CHECKSUM)');
});

test('an id unknown to the service is a PluginError, and no VDI is created', async () => {
  const creations = async (): Promise<number> => (await host.calls()).filter(([command]) => command === 'vdi-create').length;
  const before = await creations();
  const [kind, message] = await refused(nova(await glance(), srs.ext ?? '', TOKEN, 'another'));
  expect(kind).toBe('PluginError');
  expect(message).toContain('(HTTP_NOT_FOUND)');
  expect(await creations()).toBe(before);
});

test('an SR that is full or missing is a PluginError', async () => {
  const full = await host.sr('lvm', { size: 4 * 2 ** 20 });
  const [kind, message] = await refused(nova(await glance(), full));
  expect(kind).toBe('PluginError');
  expect(message).toMatch(/insufficient space.*\(SR_FULL\)/);
  const [other, why] = await refused(nova(await glance(), host.uuid));
  expect(other).toBe('PluginError');
  expect(why).toContain('(XE_UUID)');
});

test('successive calls share a cache on the host', async () => {
  const cache = join(testFolder(), 'cache');
  const server = await glance();
  const { kwargs, env } = nova(server, srs.lvm ?? '');
  for (let call = 1; call <= 2; call++) {
    const { value } = await plugin.success({ fn: 'download_vhd2', kwargs: { ...kwargs, cache, cache_size: 2 ** 20 }, env });
    arrived(Object(value).root.uuid, srs.lvm ?? '');
  }
  expect(said(server).filter((line) => line.endsWith('/file'))).toHaveLength(1);
  expect(readdirSync(cache).map((name) => readFileSync(join(cache, name)).equals(image))).toEqual([true]);
});

test('SIGTERM in the middle of the image is a RetryableError, and nothing is left behind', async () => {
  const plugs = (await host.calls()).filter(([command]) => command === 'vbd-plug').length;
  const server = await glance({ cut: Math.floor(image.length / 2), how: 'stall' });
  const answer: Promise<Answer> = plugin.call({ ...nova(server, srs.ext ?? ''), signals: ['SIGTERM'], when: 'requested' });
  await host.called('vbd-plug', plugs + 1);
  plugin.send();
  const [code, fn, kind, message] = (await answer).reply?.ErrorDescription ?? [];
  expect([code, fn, kind]).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2', 'RetryableError']);
  expect(message).toMatch(/^cancelled by SIGTERM \(CANCELLED\)/);
  assertClean(host, { vdis: made });
});

test('a host without xe is reported as such', async () => {
  const request = nova(await glance(), srs.ext ?? '');
  const [, , kind, message] = await plugin.failure({ ...request, env: { ...request.env, VDISTREAM_XE: '/nowhere/xe' } });
  expect(kind).toBe('PluginError');
  expect(message).toContain('(XE_MISSING)');
});

test('get_version returns the version of the package', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  expect((await plugin.success({ fn: 'get_version', members: {} })).value).toEqual({ version: '2.1', vdistream: version });
});

test.each([
  ['no argument', []],
  ['garbage', ['garbage']],
])('%s is a single Failure', async (_what, argv) => {
  expect(await plugin.failure({ argv })).toEqual(['XENAPI_PLUGIN_FAILURE', 'vdistream-plugin', 'ArgumentError', expect.any(String)]);
});

describe('a real glance-api', () => {
  const test = testWith('root', 'loop', 'g++', 'glance');
  let service: Glance;
  beforeAll(async () => {
    service = await startGlance();
  });
  afterAll(() => service?.stop());

  test('serves what was uploaded to it, and reports what is missing', async () => {
    const url = (): string => service.endpoint;
    const id = await service.upload(image);
    const { value } = await plugin.success(nova({ url }, srs.lvm ?? '', TOKEN, id));
    arrived(Object(value).root.uuid, srs.lvm ?? '', content, id);
    const [kind, message] = await refused(nova({ url }, srs.lvm ?? '', TOKEN, ID));
    expect(kind).toBe('PluginError');
    expect(message).toContain('(HTTP_NOT_FOUND)');
    const queued = await service.create();
    expect(await refused(nova({ url }, srs.lvm ?? '', TOKEN, queued))).toEqual(['PluginError', expect.stringContaining('(GLANCE_STATUS)')]);
  });
});

test('an unreachable service is a RetryableError, and no VDI is created', async () => {
  expect(await nobody).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2', 'RetryableError', expect.stringContaining('(HTTP_CONNECT)')]);
  assertClean(host, { vdis: made });
});
