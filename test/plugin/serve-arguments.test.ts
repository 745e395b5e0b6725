import { describe, expect, test } from 'vitest';
import { readCall } from '../../src/plugin/xmlrpc.ts';
import { call, failure, nova, SR, success, TOKEN, workerArguments } from '../support/plugin-call.ts';

describe('wrong arguments:', () => {
  const cases: [string, object, RegExp][] = [
    ['a missing argument', { image_id: undefined }, /^Argument image_id is required/],
    ['an argument that is None', { endpoint: null }, /^Argument endpoint is required/],
    ['an argument that is empty', { image_id: '' }, /^Argument image_id is required/],
    ['a number for a string', { image_id: 42 }, /^Argument image_id must be a string/],
    ['an unknown version', { api_version: 3 }, /^Argument api_version must be 1 or 2/],
    ['a path without a uuid', { sr_path: '/var/run/sr-mount/fast' }, /^Argument sr_path does not end with the uuid.*sr_uuid/],
    ['no path and no uuid', { sr_path: null }, /^Argument sr_path is required/],
    ['an SR that is not a uuid', { sr_uuid: `${SR}\nforce=true` }, /^Argument sr_uuid must be the uuid/],
    ['an unknown argument', { sr_uiud: SR }, /^the function has no argument "sr_uiud"/],
    ['an argument named like an Object.prototype property', { constructor: SR }, /^the function has no argument "constructor"/],
    ['headers that are a list', { extra_headers: [TOKEN] }, /^Argument extra_headers must be a dict/],
    ['headers that are not JSON', { extra_headers: `{"X-Auth-Token": "${TOKEN}` }, /^Argument extra_headers is not JSON/],
    ['a header that is a number', { extra_headers: { 'X-Auth-Token': 1 } }, /^Argument extra_headers must have strings/],
    ['a header with a line feed', { extra_headers: { 'X-Auth-Token': `${TOKEN}\nHost: evil` } }, /^the value of the header X-Auth-Token/],
    ['a name of a header that is none', { extra_headers: { [`${TOKEN}: x`]: 'x' } }, /^a header name has a character/],
    ['a relative folder', { staging: 'tmp' }, /^Argument staging must be an absolute path/],
    ['a cache size of zero', { cache: '/c', cache_size: 0 }, /^Argument cache_size must be a number of bytes/],
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
  test.each(HOSTS)('download_vhd with %j is an ArgumentError', async (where, expected) => {
    const request = { fn: 'download_vhd', kwargs: { image_id: 'good', sr_uuid: SR, ...where } };
    if (typeof expected === 'string') expect(workerArguments(await success(request), 'glance')).toMatchObject({ endpoints: [expected] });
    else expect((await failure(request))[3]).toMatch(expected);
  });

  test.each([
    ['more arguments than there are', { args: [1, 2, 3, 4, 5, 6, 7] }, /^there are 7 positional arguments/],
    ['an argument given twice', { args: ['good'], kwargs: { image_id: 'good' } }, /^Argument image_id is given twice/],
    ['a pickle of a list', { members: { params: '(l.' } }, /^params must be a dict/],
    ['something beside args and kwargs', { members: { params: '{"kwargs": {}, "more": 1}' } }, /^params must have only args/],
    ['a pickle that runs code', { members: { params: "cos\nsystem\n(S'true'\ntR." } }, /^at byte 0: the pickle has the opcode GLOBAL/],
    [
      'an argument in addition to params',
      { members: { params: '{"image_id": "good"}', sr_uuid: SR } },
      /^the arguments are in params.*"sr_uuid"/,
    ],
    ['params that are empty', { members: { params: '' } }, /^at byte 0: the pickle ends/],
    ['params that are not JSON', { members: { params: `{"image_id": "${TOKEN}` } }, /^params is not JSON/],
    ['params with characters beyond one byte', { members: { params: 'V€\n.' } }, /^params is neither JSON nor a pickle/],
    ['host_uuid among the arguments', { kwargs: { host_uuid: SR } }, /^the function has no argument "host_uuid"/],
  ])('%s is an ArgumentError', async (_what, request, message) => {
    const [code, fn, kind, text] = await failure({ fn: 'download_vhd2', ...request });
    expect([code, fn, kind]).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2', 'ArgumentError']);
    expect(text).toMatch(message);
  });

  test.each([['upload_vhd3'], ['toString'], ['__proto__'], ['<&>\u00e9']])('there is no function %s', async (fn) => {
    expect(await failure({ fn, kwargs: {} })).toEqual(['UNKNOWN_XENAPI_PLUGIN_FUNCTION', fn]);
  });
});

describe('a malformed call:', () => {
  const value = (text: string): string => `<param><value>${text}</value></param>`;
  const struct = (members: string): string => `<struct>${members}</struct>`;
  const xml = (params: string, fn = 'get_version'): string =>
    `<methodCall><methodName>${fn}</methodName><params>${params}</params></methodCall>`;
  const member = '<member><name>a</name><value/></member>';

  const cases: [string, readonly string[], RegExp][] = [
    ['no argument', [], /one argument.*got 0/],
    ['two arguments', ['a', 'b'], /one argument.*got 2/],
    ['an empty argument', [''], /it has no elements/],
    ['garbage', ['\x01\x02 rm -rf & < garbage'], /a character that XML does not allow/],
    ['100 KiB of garbage', ['x'.repeat(100 * 1024)], /not well-formed/],
    ['100 KiB of elements', ['<a>'.repeat(35_000)], /nested more than 16 deep/],
    ['100 KiB of attributes', [`<methodCall ${'a=""'.repeat(25_000)}`], /an attribute/],
    ['another document', ['<html/>'], /root element is "html"/],
    ['a document that is cut', [xml(value('s') + value(struct(''))).slice(0, -3)], /not well-formed/],
    ['two documents', [`${xml(value('s') + value(struct('')))}<a/>`], /not well-formed|two root elements/],
    ['a DOCTYPE', [`<!DOCTYPE a [<!ENTITY e "x">]>${xml(value('s') + value(struct('')))}`], /a DOCTYPE or another declaration/],
    ['a declaration', [`<!ELEMENT a>${xml(value('s') + value(struct('')))}`], /a DOCTYPE or another declaration/],
    ['text in front', [`<![CDATA[x]]>${xml(value('s') + value(struct('')))}`], /text outside its root element/],
    ['an entity', [xml(value('&e;') + value(struct('')))], /not well-formed/],
    ['an entity of HTML', [xml(value('&eacute;') + value(struct('')))], /not well-formed/],
    ['a reference to an invalid character', [xml(value('&#1;') + value(struct('')))], /not well-formed/],
    ['an invalid character', [xml(value('\x01') + value(struct('')))], /a character that XML does not allow/],
    ['an invalid character in CDATA', [xml(value('<![CDATA[\x01]]>') + value(struct('')))], /a character that XML does not allow/],
    ['one parameter', [xml(value('s'))], /1 parameters/],
    ['three parameters', [xml(value('s') + value(struct('')) + value('s'))], /3 parameters/],
    ['no function', [xml(value('s') + value(struct(''))).replace(/<methodName>.*<\/methodName>/, '')], /0 <methodName> elements/],
    ['no struct', [xml(value('s') + value('s'))], /0 <struct> elements/],
    [
      'a number for a value',
      [xml(value('s') + value(struct(member.replace('<value/>', '<value><i4>1</i4></value>'))))],
      /0 <string> elements/,
    ],
    ['a member that is there twice', [xml(value('s') + value(struct(member + member)))], /the member "a" twice/],
    ['something else in the struct', [xml(value('s') + value(struct('<b/>')))], /has a child "b", expected only <member>/],
  ];
  test.each(cases)('%s is a single Failure', async (_what, argv, message) => {
    const description = await failure({ argv });
    expect(description[0]).toBe('XENAPI_PLUGIN_FAILURE');
    expect(description[2]).toBe('ArgumentError');
    expect(description[3]).toMatch(message);
  });

  test('input longer than any argument is not parsed', () => {
    expect(() => readCall('x'.repeat(128 * 1024 + 1))).toThrow('longer than 131072 characters');
  });

  test.each([
    ['bare', 's', member],
    ['in <string>', '<string>s</string>', '<member><name>a</name><value>\n<string></string>\n</value></member>'],
    ['in CDATA', '<![CDATA[<s>]]>', '<member><name>a</name><value><![CDATA[]]></value></member>'],
  ])('values may be %s', async (_how, session, own) => {
    const [, , , text] = await failure({ argv: [`<?xml version="1.0"?>\n${xml(value(session) + value(struct(own)))}\n`] });
    expect(text).toMatch(/^the function has no argument "a"/);
  });

  test('line ends are normalized to line feeds, as in XML', async () => {
    const members = struct('<member><name>params</name><value>(dVkwargs\r\n(ds.</value></member>');
    expect((await success({ argv: [xml(value('s') + value(members))] })).value).toBe('2.1');
  });

  test('the answer is escaped, and characters that a log or a terminal acts on are printed as escapes', async () => {
    const fn = 'a & <b> ]]> "\u00e9" \u{1f600}';
    expect(await failure({ fn, kwargs: {} })).toEqual(['UNKNOWN_XENAPI_PLUGIN_FUNCTION', fn]);
    expect((await failure(nova('unprintable')))[3]).toMatch(/^xe says \\u\{1b\}\[1m & \\u\{fffe\}\\u\{d800\} \(XE_FAILED\)/);
    const [, evil, ...more] = await failure({ fn: '\u009b1m\u202e\nFORGED', kwargs: {} });
    expect([evil, ...more]).toEqual(['\\u{9b}1m\\u{202e}\\nFORGED']);
    const { stderr } = await call({ fn: 'download_vhd2', kwargs: { '\u009b1m\u202e\nFORGED': 1 } });
    expect(stderr.replaceAll('\n', '')).not.toMatch(/\p{C}/u);
    expect(stderr).not.toMatch(/^FORGED/m);
  });

  test('a call with an argument of 100 KiB is served normally', async () => {
    const roles = Array.from({ length: 10_000 }, (_, n) => `role-${n}`).join(',');
    expect(roles.length).toBeGreaterThan(95_000);
    const answer = await success(nova('good', { extra_headers: { 'X-Roles': roles } }));
    expect(workerArguments(answer, 'glance')).toMatchObject({ headers: { 'x-roles': roles } });
  });
});
