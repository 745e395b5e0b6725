/** The plugin as a process, with workers that do what the id of the image says (plugin-fakes.ts). */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCall } from '../../src/plugin/xmlrpc.ts';
import { type Answer, type Plugin, type Request, startPlugin } from '../support/plugin.ts';

const VDI = '0f1e2d3c-aaaa-4bbb-8ccc-123456789abc';
const SR = '7b3a6d1c-2f58-4e0c-9a57-1f0f2b9d4c11';
const TOKEN = 'gAAAAABk-secret_token==';

let plugin: Plugin;

beforeAll(async () => {
  plugin = await startPlugin('test/support/plugin-fakes.ts');
});

afterAll(() => plugin?.end());

const call = (request: Request): Promise<Answer> => plugin.call(request);
const success = (request: Request): Promise<Answer> => plugin.success(request);

/** Code, function, class and message: never the token. */
async function failure(request: Request): Promise<readonly string[]> {
  const description = await plugin.failure(request);
  expect(description.join()).not.toContain(TOKEN);
  return description;
}

/** What a worker was asked. */
function told({ stderr }: Answer, worker: string): unknown {
  const line = stderr.split('\n').find((one) => one.startsWith(`${worker} `));
  return line === undefined ? undefined : JSON.parse(line.slice(worker.length + 1));
}

/** As Nova sends them to download_vhd2. */
const nova = (image: string, more: object = {}): { readonly fn: string; readonly kwargs: Record<string, unknown> } => ({
  fn: 'download_vhd2',
  kwargs: {
    image_id: image,
    endpoint: 'http://10.0.0.1:9292',
    uuid_stack: Array.from({ length: 16 }, (_, n) => `00000000-0000-4000-8000-0000000000${n + 10}`),
    sr_path: `/var/run/sr-mount/${SR}`,
    extra_headers: {
      'X-Auth-Token': TOKEN,
      'X-User-Id': null,
      'X-Tenant-Id': null,
      'X-Roles': 'admin,member',
      'X-Identity-Status': 'Confirmed',
    },
    api_version: 2,
    ...more,
  },
});

describe('the three generations of Nova', () => {
  test('download_vhd2 answers the pickle of the root disk', async () => {
    const answer = await success(nova('good'));
    expect(answer.value).toEqual({ root: { uuid: VDI } });
    expect(told(answer, 'import')).toEqual({ sr: SR, name: 'glance good' });
    expect(answer.stderr).not.toContain('vdistream-plugin:');
    expect(told(answer, 'glance')).toEqual({
      id: 'good',
      endpoints: ['http://10.0.0.1:9292'],
      version: 2,
      // Headers that Nova has no value for are None, and left out.
      headers: { 'x-auth-token': TOKEN, 'x-roles': 'admin,member', 'x-identity-status': 'Confirmed' },
    });
  });

  test('its arguments may also come by their position, and api_version is 1 where it is left out', async () => {
    const args = ['good', 'https://glance', [], `/run/sr-mount/${SR}/`, {}];
    const answer = await success({ fn: 'download_vhd2', args });
    expect(answer.value).toEqual({ root: { uuid: VDI } });
    expect(told(answer, 'glance')).toEqual({ id: 'good', endpoints: ['https://glance'], version: 1, headers: {} });
    const newer = await success({ fn: 'download_vhd2', args, kwargs: { api_version: '2' } });
    expect(told(newer, 'glance')).toMatchObject({ version: 2 });
  });

  test('download_vhd makes an endpoint of host and port', async () => {
    const where = { glance_host: '10.0.0.1', glance_port: 9292, glance_use_ssl: true };
    const kwargs = { ...nova('good').kwargs, ...where, endpoint: undefined, api_version: undefined };
    const answer = await success({ fn: 'download_vhd', kwargs });
    expect(answer.value).toEqual({ root: { uuid: VDI } });
    expect(told(answer, 'glance')).toMatchObject({ endpoints: ['https://10.0.0.1:9292'], version: 1, headers: { 'x-auth-token': TOKEN } });
  });

  test('download_vhd in its first form, a flat pickle, answers JSON of a list', async () => {
    // As Python 2 writes it.
    const params = `(dp1\nS'image_id'\np2\nS'good'\np3\nsS'glance_port'\np4\nI9292\nsS'uuid_stack'\np5\n(lp6\nS'u1'\np7\nasS'num_retries'\np8\nI0\nsS'sr_path'\np9\nS'/var/run/sr-mount/${SR}'\np10\nsS'auth_token'\np11\nS'${TOKEN}'\np12\nsS'glance_host'\np13\nS'glance.example'\np14\ns.`;
    const answer = await success({ fn: 'download_vhd', members: { params, host_uuid: SR } });
    expect(answer.value).toEqual([{ vdi_type: 'os', vdi_uuid: VDI }]);
    expect(told(answer, 'import')).toEqual({ sr: SR, name: 'glance good' });
    expect(told(answer, 'glance')).toMatchObject({
      endpoints: ['http://glance.example:9292'],
      version: 1,
      headers: { 'x-auth-token': TOKEN },
    });
  });

  test('get_version answers the version of the interface', async () => {
    expect((await success({ fn: 'get_version', kwargs: {} })).value).toBe('2.1');
  });
});

describe('callers of our own', () => {
  const OPERATOR = { image_id: 'good', endpoint: 'http://glance:9292', sr_uuid: SR, host_uuid: SR };

  test('an operator gives each argument as a member of its own, and gets JSON', async () => {
    const headers = JSON.stringify({ 'X-Auth-Token': TOKEN, 'X-Roles': null });
    const answer = await success({ fn: 'download_vhd2', members: { ...OPERATOR, api_version: '2', extra_headers: headers, sr_path: '' } });
    expect(answer.value).toEqual({ root: { uuid: VDI } });
    expect(told(answer, 'import')).toEqual({ sr: SR, name: 'glance good' });
    expect(told(answer, 'glance')).toEqual({
      id: 'good',
      endpoints: ['http://glance:9292'],
      version: 2,
      headers: { 'x-auth-token': TOKEN },
    });
  });

  test.each([
    ['flat', (kwargs: object) => kwargs],
    ['with args and kwargs', (kwargs: object) => ({ args: [], kwargs })],
  ])('a program gives JSON, %s, and gets JSON', async (_how, shape) => {
    const params = ` \n${JSON.stringify(shape({ ...nova('good').kwargs, sr_uuid: VDI }), null, 2)}`;
    const answer = await success({ fn: 'download_vhd2', members: { params, host_uuid: SR } });
    expect(answer.reply?.Value).toBe(JSON.stringify({ root: { uuid: VDI } }));
    // Told explicitly, it counts before the path.
    expect(told(answer, 'import')).toMatchObject({ sr: VDI });
  });

  test('get_version in JSON tells our own version too', async () => {
    expect((await success({ fn: 'get_version', members: {} })).value).toEqual({ version: '2.1', vdistream: '1.2.3' });
    expect((await success({ fn: 'get_version', members: { params: '{}' } })).value).toEqual({ version: '2.1', vdistream: '1.2.3' });
  });

  test('a staging folder holds the image, and layers that come too early', async () => {
    const answer = await success({ fn: 'download_vhd2', members: { ...OPERATOR, staging: '/var/tmp/stage' } });
    expect(told(answer, 'staged')).toEqual({ folder: '/var/tmp/stage' });
    expect(told(answer, 'import')).toMatchObject({ staging: '/var/tmp/stage' });
    expect(told(answer, 'cached')).toBeUndefined();
  });

  test('a cache takes its place', async () => {
    const answer = await success({
      fn: 'download_vhd2',
      members: { ...OPERATOR, staging: '/stage', cache: '/cache', cache_size: '5000000000' },
    });
    expect(told(answer, 'cached')).toEqual({ folder: '/cache', size: 5_000_000_000 });
    expect(told(answer, 'staged')).toBeUndefined();
    expect(told(answer, 'import')).toMatchObject({ staging: '/stage' });
  });
});

describe('arguments that are wrong', () => {
  const cases: [string, object, RegExp][] = [
    ['a missing argument', { image_id: undefined }, /^Argument image_id is required/],
    ['an argument that is None', { endpoint: null }, /^Argument endpoint is required/],
    ['an argument that is empty', { image_id: '' }, /^Argument image_id is required/],
    ['a number for a string', { image_id: 42 }, /^Argument image_id must be a string/],
    ['a version that is not there', { api_version: 3 }, /^Argument api_version must be 1 or 2/],
    ['a path without a uuid', { sr_path: '/var/run/sr-mount/fast' }, /^Argument sr_path does not end with the uuid.*sr_uuid/],
    ['no path and no uuid', { sr_path: null }, /^Argument sr_path is required/],
    ['an SR that is no uuid', { sr_uuid: `${SR}\nforce=true` }, /^Argument sr_uuid must be the uuid/],
    ['an argument that is not there', { sr_uiud: SR }, /^the function has no argument "sr_uiud"/],
    ['an argument named like a property of every object', { constructor: SR }, /^the function has no argument "constructor"/],
    ['headers that are a list', { extra_headers: [TOKEN] }, /^Argument extra_headers must be a dict/],
    ['headers that are no JSON', { extra_headers: `{"X-Auth-Token": "${TOKEN}` }, /^Argument extra_headers is not JSON/],
    ['a header that is a number', { extra_headers: { 'X-Auth-Token': 1 } }, /^Argument extra_headers must have strings/],
    ['a header with a line feed', { extra_headers: { 'X-Auth-Token': `${TOKEN}\nHost: evil` } }, /^the value of the header X-Auth-Token/],
    ['a name of a header that is none', { extra_headers: { [`${TOKEN}: x`]: 'x' } }, /^the name of a header/],
    ['a relative folder', { staging: 'tmp' }, /^Argument staging must be an absolute path/],
    ['a cache of no size', { cache: '/c', cache_size: 0 }, /^Argument cache_size must be a number of bytes/],
    ['a size in words', { cache: '/c', cache_size: '10 GiB' }, /^Argument cache_size must be a number of bytes/],
    ['a size without a cache', { cache_size: 10 }, /^Argument cache is required/],
    ['a cache without a size', { cache: '/c' }, /^Argument cache_size is required/],
  ];
  test.each(cases)('%s is an ArgumentError', async (_what, more, message) => {
    const [code, fn, kind, text] = await failure(nova('good', more));
    expect([code, fn, kind]).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2', 'ArgumentError']);
    expect(text).toMatch(message);
    expect(text).toMatch(/ \(USAGE\)\.$/);
  });

  const HOSTS: [object, RegExp | string][] = [
    [{ glance_host: '10.0.0.1', glance_port: '80', glance_use_ssl: 'True' }, 'https://10.0.0.1:80'],
    [{ glance_host: 'fd00::1', glance_port: 80, glance_use_ssl: 0 }, 'http://[fd00::1]:80'],
    [{ glance_host: '[fd00::1]', glance_port: 80, glance_use_ssl: false }, 'http://[fd00::1]:80'],
    [{ glance_host: 'user@evil', glance_port: 80 }, /^Argument glance_host must be/],
    [{ glance_host: 'evil/path?', glance_port: 80 }, /^Argument glance_host must be/],
    [{ glance_host: 'glance' }, /^Argument glance_port is required/],
    [{ glance_port: 80 }, /^Argument glance_host is required/],
    [{ glance_host: 'glance', glance_port: 80, auth_token: `${TOKEN}\n` }, /^the value of the header x-auth-token/],
    [{ glance_host: 'glance', glance_port: 65536 }, /^Argument glance_port must be a port/],
    [{ glance_host: 'glance', glance_port: 1.5 }, /^Argument glance_port must be a port/],
    [{ glance_host: 'glance', glance_port: 80, glance_use_ssl: ['1'] }, /^Argument glance_use_ssl must be true or false/],
    [{ glance_host: 'glance', glance_port: 80, glance_use_ssl: 'perhaps' }, /^Argument glance_use_ssl must be true or false/],
  ];
  test.each(HOSTS)('download_vhd with %j', async (where, expected) => {
    const request = { fn: 'download_vhd', kwargs: { image_id: 'good', sr_uuid: SR, ...where } };
    if (typeof expected === 'string') expect(told(await success(request), 'glance')).toMatchObject({ endpoints: [expected] });
    else expect((await failure(request))[3]).toMatch(expected);
  });

  test.each([
    ['more arguments than there are', { args: [1, 2, 3, 4, 5, 6, 7] }, /^there are 7 arguments without a name/],
    ['an argument given twice', { args: ['good'], kwargs: { image_id: 'good' } }, /^Argument image_id is given twice/],
    ['a pickle of a list', { members: { params: '(l.' } }, /^params must hold a dict/],
    ['something beside args and kwargs', { members: { params: '{"kwargs": {}, "more": 1}' } }, /^params must hold args/],
    ['a pickle that runs code', { members: { params: "cos\nsystem\n(S'true'\ntR." } }, /^at byte 0: the pickle has the opcode GLOBAL/],
    ['an argument beside params', { members: { params: '{"image_id": "good"}', sr_uuid: SR } }, /^the arguments are in params.*"sr_uuid"/],
    ['params that are empty', { members: { params: '' } }, /^at byte 0: the pickle ends/],
    ['params that are no JSON', { members: { params: `{"image_id": "${TOKEN}` } }, /^params is not JSON/],
    ['params with characters that are no bytes', { members: { params: 'V€\n.' } }, /^params is neither JSON nor a pickle/],
    ['host_uuid in the arguments themselves', { kwargs: { host_uuid: SR } }, /^the function has no argument "host_uuid"/],
  ])('%s is an ArgumentError', async (_what, request, message) => {
    const [code, fn, kind, text] = await failure({ fn: 'download_vhd2', ...request });
    expect([code, fn, kind]).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2', 'ArgumentError']);
    expect(text).toMatch(message);
  });

  test.each([['upload_vhd2'], ['toString'], ['__proto__'], ['<&>\u00e9']])('there is no function %s', async (fn) => {
    expect(await failure({ fn, kwargs: {} })).toEqual(['UNKNOWN_XENAPI_PLUGIN_FUNCTION', fn]);
  });
});

describe('work that fails', () => {
  const FAILED = 'XENAPI_PLUGIN_FAILURE';

  test('what a retry can mend is a RetryableError', async () => {
    expect(await failure(nova('busy'))).toEqual([
      FAILED,
      'download_vhd2',
      'RetryableError',
      expect.stringMatching(/status 503 \(HTTP_SERVER\)\. Look at the log of the server/),
    ]);
  });

  test('what is broken is a PluginError that tells member, byte, code, advice, and what was left behind, in one line', async () => {
    expect(await failure(nova('broken'))).toEqual([
      FAILED,
      'download_vhd2',
      'PluginError',
      '0.vhd: at byte 1544: block 2 lies at byte 0 & <there> (VHD_BLOCK_METADATA). The image is damaged or was cut. Fetch or export it again. ' +
        'Left behind: VDI 4711, which is still plugged.',
    ]);
  });

  test('the causes are told too', async () => {
    expect((await failure(nova('full')))[3]).toMatch(/^no room \(SR_FULL\)\. Free space there.* Because: xe has failed \(XE_FAILED\)\.$/);
  });

  test('warnings are lines on stderr', async () => {
    expect((await success(nova('odd'))).stderr).toContain('vdistream-plugin: warning: 0.vhd: the footer is of 2038 (VHD_TIMESTAMP)\n');
  });

  test('a mistake of ours is a PluginError, without what of the argument is in its message', async () => {
    const [code, fn, kind, text] = await failure(nova('defect'));
    expect([code, fn, kind]).toEqual([FAILED, 'download_vhd2', 'PluginError']);
    // What follows the token is no part of it, and hides nothing.
    expect(text).toMatch(
      /^A mistake in vdistream itself, please report it: TypeError: cannot send the header "\*\*\*", nor \*\*\*:\*\*\*\. at /,
    );
  });

  test('a mistake that nobody catches stops the work, and is told when the work has cleaned up', async () => {
    const { reply, stderr } = await call(nova('stray'));
    expect(reply?.ErrorDescription?.slice(0, 3)).toEqual([FAILED, 'download_vhd2', 'PluginError']);
    expect(reply?.ErrorDescription?.[3]).toMatch(/RangeError: nobody catches this/);
    expect(stderr).toContain('cleaned up');
  });

  test.each([['never'], ['exit']])('work that ends without a result, by %s, is a PluginError', async (image) => {
    const [code, fn, kind, text] = await failure(nova(image));
    expect([code, fn, kind]).toEqual([FAILED, 'download_vhd2', 'PluginError']);
    expect(text).toMatch(/the work has ended without a result/);
  });

  test('nothing that is printed on the way comes into the document, and a warning of Node neither', async () => {
    const { value, stderr } = await success(nova('chatty'));
    expect(value).toEqual({ root: { uuid: VDI } });
    expect(stderr).toMatch(/on stdout by console.log[\s\S]*on stdout by write[\s\S]*a warning of Node/);
  });

  test('an answer that is longer than a pipe takes at once comes out whole', async () => {
    const fn = 'x'.repeat(100_000);
    expect(await failure({ fn, members: {}, stdout: 'pipe' })).toEqual(['UNKNOWN_XENAPI_PLUGIN_FUNCTION', fn]);
  });

  test('where nobody takes the answer, the plugin ends without a word', async () => {
    expect(await plugin.ask({ ...nova('good'), stdout: 'gone' })).toMatchObject({ status: 0, unreadable: { stdout: '' } });
  });

  test('what is still open when the work is done does not keep xapi waiting', async () => {
    expect((await success(nova('crowded'))).value).toEqual({ root: { uuid: VDI } });
  });
});

describe('signals', () => {
  test.each([['SIGTERM'], ['SIGINT'], ['SIGHUP']])('%s cancels, and is a RetryableError after the clean-up', async (signal) => {
    const { reply, stderr } = await call({ ...nova('slow'), signals: [signal] });
    const [code, fn, kind, text] = reply?.ErrorDescription ?? [];
    expect([code, fn, kind]).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2', 'RetryableError']);
    expect(text).toMatch(new RegExp(`^cancelled by ${signal} \\(CANCELLED\\)\\.`));
    expect(text).not.toContain('While it was stopped');
    expect(stderr).toContain('cleaned up');
  });

  test('what fails on the way out is told behind the signal', async () => {
    const [, , kind, text] = await failure({ ...nova('slow and stuck'), signals: ['SIGTERM'] });
    expect(kind).toBe('RetryableError');
    expect(text).toMatch(
      /^cancelled by SIGTERM.* While it was stopped: the device is still open \(VBD_DETACH\)\. Left behind: VBD 4711\.$/,
    );
  });

  test('a mistake of ours on the way out is told behind the signal', async () => {
    const [, , kind, text] = await failure({ ...nova('slow and defect'), signals: ['SIGTERM'] });
    expect(kind).toBe('RetryableError');
    expect(text).toMatch(/^cancelled by SIGTERM.* While it was stopped: A mistake in vdistream.*TypeError: the clean-up has a mistake at /);
  });

  test('work that is done in spite of the signal has its result', async () => {
    expect((await success({ ...nova('slow and done'), signals: ['SIGTERM'] })).value).toEqual({ root: { uuid: VDI } });
  });

  test('a second signal ends the plugin at once, and there is still an answer', async () => {
    const [, , kind, text] = await failure({ ...nova('deaf'), signals: ['SIGTERM', 'SIGTERM'] });
    expect(kind).toBe('RetryableError');
    expect(text).toMatch(/^cancelled by SIGTERM.* Left behind: .*vdistream reap/);
  });
});

describe('what is no call', () => {
  const value = (text: string): string => `<param><value>${text}</value></param>`;
  const struct = (members: string): string => `<struct>${members}</struct>`;
  const xml = (params: string, fn = 'get_version'): string =>
    `<methodCall><methodName>${fn}</methodName><params>${params}</params></methodCall>`;
  const member = '<member><name>a</name><value/></member>';

  const cases: [string, readonly string[], RegExp][] = [
    ['no argument', [], /one argument.*here are 0/],
    ['two arguments', ['a', 'b'], /one argument.*here are 2/],
    ['an empty argument', [''], /it is empty/],
    ['garbage', ['\x01\x02 rm -rf & < garbage'], /not well-formed/],
    ['100 KiB of garbage', ['x'.repeat(100 * 1024)], /not well-formed/],
    ['100 KiB of elements', ['<a>'.repeat(35_000)], /nested more than 16 deep/],
    ['100 KiB of attributes', [`<methodCall ${'a=""'.repeat(25_000)}`], /an attribute/],
    ['another document', ['<html/>'], /begins with "html"/],
    ['a document that is cut', [xml(value('s') + value(struct(''))).slice(0, -3)], /not well-formed/],
    ['two documents', [`${xml(value('s') + value(struct('')))}<a/>`], /not well-formed|two root elements/],
    ['a DOCTYPE', [`<!DOCTYPE a [<!ENTITY e "x">]>${xml(value('s') + value(struct('')))}`], /a DOCTYPE/],
    ['a declaration', [`<!ELEMENT a>${xml(value('s') + value(struct('')))}`], /a declaration/],
    ['text in front', [`<![CDATA[x]]>${xml(value('s') + value(struct('')))}`], /text outside of its elements/],
    ['an entity', [xml(value('&e;') + value(struct('')))], /not well-formed/],
    ['an entity of HTML', [xml(value('&eacute;') + value(struct('')))], /not well-formed/],
    ['a reference to what is no character', [xml(value('&#1;') + value(struct('')))], /not well-formed/],
    ['what is no character', [xml(value('\x01') + value(struct('')))], /a character that XML does not allow/],
    ['the same in CDATA', [xml(value('<![CDATA[\x01]]>') + value(struct('')))], /a character that XML does not allow/],
    ['one parameter', [xml(value('s'))], /1 parameters/],
    ['three parameters', [xml(value('s') + value(struct('')) + value('s'))], /3 parameters/],
    ['no function', [xml(value('s') + value(struct(''))).replace(/<methodName>.*<\/methodName>/, '')], /0 of <methodName>/],
    ['no struct', [xml(value('s') + value('s'))], /0 of <struct>/],
    ['a number for a value', [xml(value('s') + value(struct(member.replace('<value/>', '<value><i4>1</i4></value>'))))], /0 of <string>/],
    ['a member that is there twice', [xml(value('s') + value(struct(member + member)))], /"a" is there twice/],
    ['something else in the struct', [xml(value('s') + value(struct('<b/>')))], /has "b" where only <member> may be/],
  ];
  test.each(cases)('%s is one Failure', async (_what, argv, message) => {
    const description = await failure({ argv });
    expect(description[0]).toBe('XENAPI_PLUGIN_FAILURE');
    expect(description[2]).toBe('ArgumentError');
    expect(description[3]).toMatch(message);
  });

  test('what is longer than any argument is not even looked at', () => {
    expect(() => readCall('x'.repeat(128 * 1024 + 1))).toThrow('longer than 131072 characters');
  });

  test.each([
    ['bare', 's', member],
    ['in <string>', '<string>s</string>', '<member><name>a</name><value>\n<string></string>\n</value></member>'],
    ['in CDATA', '<![CDATA[<s>]]>', '<member><name>a</name><value><![CDATA[]]></value></member>'],
  ])('values are taken %s', async (_how, session, own) => {
    const [, , , text] = await failure({ argv: [`<?xml version="1.0"?>\n${xml(value(session) + value(struct(own)))}\n`] });
    expect(text).toMatch(/^the function has no argument "a"/);
  });

  test('line ends are line feeds, as XML has it', async () => {
    const members = struct('<member><name>params</name><value>(dVkwargs\r\n(ds.</value></member>');
    expect((await success({ argv: [xml(value('s') + value(members))] })).value).toBe('2.1');
  });

  test('the answer is escaped, and what XML cannot represent is replaced in it', async () => {
    const fn = 'a & <b> ]]> "\u00e9" \u{1f600}';
    expect(await failure({ fn, kwargs: {} })).toEqual(['UNKNOWN_XENAPI_PLUGIN_FUNCTION', fn]);
    expect((await failure(nova('unprintable')))[3]).toMatch(/^xe says \ufffd\[1m & \ufffd\ufffd \(XE_FAILED\)/);
  });

  test('an argument of 100 KiB is a call like any other', async () => {
    const roles = Array.from({ length: 10_000 }, (_, n) => `role-${n}`).join(',');
    expect(roles.length).toBeGreaterThan(95_000);
    const answer = await success(nova('good', { extra_headers: { 'X-Roles': roles } }));
    expect(told(answer, 'glance')).toMatchObject({ headers: { 'x-roles': roles } });
  });
});
