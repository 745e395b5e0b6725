import { describe, expect, test } from 'vitest';
import { failure, SR, success, TOKEN, workerArguments } from '../support/plugin-call.ts';

const VDIS = ['11111111-2f58-4e0c-9a57-1f0f2b9d4c11', '22222222-2f58-4e0c-9a57-1f0f2b9d4c11', '33333333-2f58-4e0c-9a57-1f0f2b9d4c11'];
const PATH = `/var/run/sr-mount/${SR}`;
const HEADERS = { 'X-Auth-Token': TOKEN, 'X-User-Id': null, 'X-Roles': 'admin,member' };
const SENT = { 'x-auth-token': TOKEN, 'x-roles': 'admin,member' };

/** As Nova sends them to upload_vhd2. */
const nova = (image: string, more: object = {}): { readonly fn: string; readonly kwargs: Record<string, unknown> } => ({
  fn: 'upload_vhd2',
  kwargs: {
    vdi_uuids: VDIS,
    image_id: image,
    endpoint: 'http://10.0.0.1:9292',
    sr_path: PATH,
    extra_headers: HEADERS,
    properties: { auto_disk_config: true, os_type: 'linux' },
    api_version: 2,
    ...more,
  },
});

const uploaded = {
  vdi: VDIS[0],
  image: 'good',
  where: { endpoints: ['http://10.0.0.1:9292'], version: 2, headers: SENT },
  properties: { auto_disk_config: 'True', os_type: 'linux' },
};

describe('for the three generations of Nova', () => {
  test('upload_vhd2 uploads the first VDI, checks the others, and returns the pickle of None', async () => {
    const answer = await success(nova('good'));
    expect([answer.reply?.Value, answer.value]).toEqual(['N.', null]);
    expect(workerArguments(answer, 'check')).toEqual({ leaf: VDIS[0], others: VDIS.slice(1) });
    expect(workerArguments(answer, 'upload')).toEqual(uploaded);
  });

  test('its arguments may also be positional, and api_version defaults to 1', async () => {
    const args = [VDIS, 'good', 'http://10.0.0.1:9292', PATH, HEADERS, { auto_disk_config: 'disabled' }];
    const answer = await success({ fn: 'upload_vhd2', args });
    const where = { ...uploaded.where, version: 1 };
    expect(workerArguments(answer, 'upload')).toEqual({ ...uploaded, where, properties: { auto_disk_config: 'disabled' } });
    expect(workerArguments(await success({ fn: 'upload_vhd2', args: [...args, 2] }), 'upload')).toMatchObject({ where: { version: 2 } });
  });

  test('upload_vhd builds an endpoint from host and port', async () => {
    const args = [VDIS, 'good', '10.0.0.1', 9292, true, PATH, HEADERS, { auto_disk_config: true, os_type: 'linux' }];
    const answer = await success({ fn: 'upload_vhd', args });
    expect(answer.reply?.Value).toBe('N.');
    const where = { ...uploaded.where, endpoints: ['https://10.0.0.1:9292'], version: 1 };
    expect(workerArguments(answer, 'upload')).toEqual({ ...uploaded, where });
  });

  // As the pickle module of Python 2.7 has written them.
  test('upload_vhd2 reads what Python 2 writes', async () => {
    const params = `(dp0\nS'args'\np1\n(tsS'kwargs'\np2\n(dp3\nS'endpoint'\np4\nS'http://10.0.0.1:9292'\np5\nsS'extra_headers'\np6\n(dp7\nS'X-Roles'\np8\nS'admin,member'\np9\nsS'X-User-Id'\np10\nNsS'X-Auth-Token'\np11\nV${TOKEN}\np12\nssS'image_id'\np13\nVgood\np14\nsS'sr_path'\np15\nS'${PATH}'\np16\nsS'properties'\np17\n(dp18\nS'auto_disk_config'\np19\nI01\nsS'os_type'\np20\nS'linux'\np21\nsS'xenapi_image_compression_level'\np22\nI9\nssS'api_version'\np23\nI2\nsS'vdi_uuids'\np24\n(lp25\nS'${VDIS[0]}'\np26\naV${VDIS[1]}\np27\nass.`;
    const answer = await success({ fn: 'upload_vhd2', pickled: params });
    expect([answer.reply?.Value, answer.value]).toEqual(['N.', null]);
    const properties = { ...uploaded.properties, xenapi_image_compression_level: '9' };
    expect(workerArguments(answer, 'upload')).toEqual({ ...uploaded, properties, level: 9 });
  });

  test('upload_vhd in its first form, with a flat pickle and names for the layers, returns an empty string', async () => {
    const params = `(dp0\nS'auth_token'\np1\nS'${TOKEN}'\np2\nsS'glance_port'\np3\nI9292\nsS'image_id'\np4\nS'good'\np5\nsS'glance_host'\np6\nS'glance.example'\np7\nsS'sr_path'\np8\nS'${PATH}'\np9\nsS'properties'\np10\n(dp11\nS'auto_disk_config'\np12\nS'disabled'\np13\nssS'vdi_uuids'\np14\n(dp15\nS'image'\np18\nV${VDIS[1]}\np19\nsS'base'\np20\nV${VDIS[2]}\np21\nsS'snap'\np16\nS'${VDIS[0]}'\np17\nss.`;
    const answer = await success({ fn: 'upload_vhd', pickled: params, reply: 'text' });
    expect(answer.reply?.Value).toBe('');
    expect(workerArguments(answer, 'check')).toEqual({ leaf: VDIS[0], others: VDIS.slice(1) });
    expect(workerArguments(answer, 'upload')).toEqual({
      ...uploaded,
      where: { endpoints: ['http://glance.example:9292'], version: 1, headers: { 'x-auth-token': TOKEN } },
      properties: { auto_disk_config: 'disabled' },
    });
  });
});

describe('properties', () => {
  const propertiesOf = async (properties: object): Promise<unknown> =>
    workerArguments(await success(nova('good', { properties })), 'upload');

  test('are sent as str() of Python has them', async () => {
    const properties = { a: true, b: false, c: null, d: 7, e: 'x y', f: '', g: -1 };
    const sent = { a: 'True', b: 'False', c: 'None', d: '7', e: 'x y', f: '', g: '-1' };
    expect(await propertiesOf(properties)).toEqual({ ...uploaded, properties: sent });
  });

  test('may be missing', async () => {
    expect(workerArguments(await success(nova('good', { properties: null })), 'upload')).toEqual({ ...uploaded, properties: {} });
  });

  test.each<[unknown, number | undefined]>([
    [1, 1],
    [9, 9],
    ['6', 6],
    [0, undefined],
    [10, undefined],
    [1.5, undefined],
    ['', undefined],
    ['best', undefined],
  ])('with the level of compression %j', async (given, level) => {
    const sent = { ...uploaded, properties: { xenapi_image_compression_level: String(given) } };
    expect(await propertiesOf({ xenapi_image_compression_level: given })).toEqual({ ...sent, ...(level !== undefined && { level }) });
  });
});

describe('for other callers', () => {
  const OPERATOR = { image_id: 'good', endpoint: 'http://10.0.0.1:9292', api_version: '2', host_uuid: SR };

  test.each([
    ['with commas', VDIS.join(',')],
    ['as JSON', JSON.stringify(VDIS)],
    ['as JSON, by name', JSON.stringify({ base: VDIS[2], snap: VDIS[0], image: VDIS[1] })],
  ])('an operator may pass the VDIs %s, and gets JSON', async (_, vdi_uuids) => {
    const answer = await success({ fn: 'upload_vhd2', members: { ...OPERATOR, vdi_uuids, properties: '{"os_type": "linux"}' } });
    expect([answer.reply?.Value, answer.value]).toEqual(['null', null]);
    expect(workerArguments(answer, 'check')).toEqual({ leaf: VDIS[0], others: VDIS.slice(1) });
    expect(workerArguments(answer, 'upload')).toMatchObject({ properties: { os_type: 'linux' } });
  });
});

describe('wrong arguments', () => {
  test.each<[string, object, RegExp]>([
    ['no VDIs', { vdi_uuids: [] }, /^Argument vdi_uuids is empty/],
    ['VDIs that are None', { vdi_uuids: null }, /^Argument vdi_uuids is required/],
    ['VDIs that are numbers', { vdi_uuids: [1] }, /^Argument vdi_uuids must be a list of strings/],
    ['a dict without a leaf', { vdi_uuids: { image: VDIS[0] } }, /^Argument vdi_uuids must have the key snap/],
    ['a dict with other keys', { vdi_uuids: { snap: VDIS[0], more: VDIS[1] } }, /^Argument vdi_uuids must have the key snap/],
    ['no image', { image_id: null }, /^Argument image_id is required/],
    ['an image with a slash', { image_id: 'a/b' }, /^an image id must have/],
    ['properties that are a list', { properties: ['a'] }, /^Argument properties must be a dict/],
    ['a property that is a list', { properties: { a: [TOKEN] } }, /^Argument properties must have strings/],
    ['the name of a property with a line feed', { properties: { [`a\n${TOKEN}`]: '' } }, /^Argument properties has a name/],
    [
      'a property with a line feed, for version 1',
      { properties: { a: `\n${TOKEN}` }, api_version: 1 },
      /^the value of the header x-image-meta/,
    ],
    ['an SR', { sr_uuid: SR }, /^the function has no argument "sr_uuid"/],
  ])('%s: an ArgumentError', async (_, more, message) => {
    expect(await failure(nova('good', more))).toEqual([
      'XENAPI_PLUGIN_FAILURE',
      'upload_vhd2',
      'ArgumentError',
      expect.stringMatching(message),
    ]);
  });

  test('a VDI that is no uuid, or is too large: a PluginError', async () => {
    const wrong = await failure(nova('good', { vdi_uuids: [VDIS[0], `${VDIS[1]}\nforce=true`] }));
    expect(wrong.slice(2)).toEqual(['PluginError', expect.stringMatching(/\(XE_UUID\)/)]);
    const large = await failure(nova('good', { vdi_uuids: ['11111111-2f58-4e0c-9a57-1f0f2b9d2041'] }));
    expect(large.slice(2)).toEqual(['PluginError', expect.stringMatching(/2191507062784 bytes.*\(EXPORT_SIZE\)/)]);
  });
});
