import { describe, expect, test } from 'vitest';
import { call, failure, nova, plugin, SR, success, TOKEN, workerArguments } from '../support/plugin-call.ts';

const VDI = '0f1e2d3c-aaaa-4bbb-8ccc-123456789abc';

describe('for the three generations of Nova', () => {
  test('download_vhd2 returns the pickle of the root disk', async () => {
    const answer = await success(nova('good'));
    expect(answer.value).toEqual({ root: { uuid: VDI } });
    expect(workerArguments(answer, 'import')).toEqual({ sr: SR, name: 'glance good' });
    expect(answer.stderr).not.toContain('vdistream-plugin:');
    expect(workerArguments(answer, 'glance')).toEqual({
      id: 'good',
      endpoints: ['http://10.0.0.1:9292'],
      version: 2,
      // Headers that Nova has no value for are None, and left out.
      headers: { 'x-auth-token': TOKEN, 'x-roles': 'admin,member', 'x-identity-status': 'Confirmed' },
    });
  });

  test('its arguments may also be positional, and api_version defaults to 1', async () => {
    const args = ['good', 'https://glance', [], `/run/sr-mount/${SR}/`, {}];
    const answer = await success({ fn: 'download_vhd2', args });
    expect(answer.value).toEqual({ root: { uuid: VDI } });
    expect(workerArguments(answer, 'glance')).toEqual({ id: 'good', endpoints: ['https://glance'], version: 1, headers: {} });
    const newer = await success({ fn: 'download_vhd2', args, kwargs: { api_version: '2' } });
    expect(workerArguments(newer, 'glance')).toMatchObject({ version: 2 });
  });

  test('download_vhd builds an endpoint from host and port', async () => {
    const where = { glance_host: '10.0.0.1', glance_port: 9292, glance_use_ssl: true };
    const kwargs = { ...nova('good').kwargs, ...where, endpoint: undefined, api_version: undefined };
    const answer = await success({ fn: 'download_vhd', kwargs });
    expect(answer.value).toEqual({ root: { uuid: VDI } });
    expect(workerArguments(answer, 'glance')).toMatchObject({
      endpoints: ['https://10.0.0.1:9292'],
      version: 1,
      headers: { 'x-auth-token': TOKEN },
    });
  });

  test('download_vhd in its first form, with a flat pickle, returns a list as JSON', async () => {
    // As Python 2 writes it.
    const params = `(dp1\nS'image_id'\np2\nS'good'\np3\nsS'glance_port'\np4\nI9292\nsS'uuid_stack'\np5\n(lp6\nS'u1'\np7\nasS'num_retries'\np8\nI0\nsS'sr_path'\np9\nS'/var/run/sr-mount/${SR}'\np10\nsS'auth_token'\np11\nS'${TOKEN}'\np12\nsS'glance_host'\np13\nS'glance.example'\np14\ns.`;
    const answer = await success({ fn: 'download_vhd', members: { params, host_uuid: SR } });
    expect(answer.value).toEqual([{ vdi_type: 'os', vdi_uuid: VDI }]);
    expect(workerArguments(answer, 'import')).toEqual({ sr: SR, name: 'glance good' });
    expect(workerArguments(answer, 'glance')).toMatchObject({
      endpoints: ['http://glance.example:9292'],
      version: 1,
      headers: { 'x-auth-token': TOKEN },
    });
  });

  test('get_version returns the version of the interface', async () => {
    expect((await success({ fn: 'get_version', kwargs: {} })).value).toBe('2.1');
  });
});

describe('for other callers', () => {
  const OPERATOR = { image_id: 'good', endpoint: 'http://glance:9292', sr_uuid: SR, host_uuid: SR };

  test('an operator may pass each argument as a separate member, and gets JSON', async () => {
    const headers = JSON.stringify({ 'X-Auth-Token': TOKEN, 'X-Roles': null });
    const answer = await success({ fn: 'download_vhd2', members: { ...OPERATOR, api_version: '2', extra_headers: headers, sr_path: '' } });
    expect(answer.value).toEqual({ root: { uuid: VDI } });
    expect(workerArguments(answer, 'import')).toEqual({ sr: SR, name: 'glance good' });
    expect(workerArguments(answer, 'glance')).toEqual({
      id: 'good',
      endpoints: ['http://glance:9292'],
      version: 2,
      headers: { 'x-auth-token': TOKEN },
    });
  });

  test.each([
    ['flat', (kwargs: object) => kwargs],
    ['with args and kwargs', (kwargs: object) => ({ args: [], kwargs })],
  ])('a program may pass JSON, %s, and gets JSON', async (_how, shape) => {
    const params = ` \n${JSON.stringify(shape({ ...nova('good').kwargs, sr_uuid: VDI }), null, 2)}`;
    const answer = await success({ fn: 'download_vhd2', members: { params, host_uuid: SR } });
    expect(answer.reply?.Value).toBe(JSON.stringify({ root: { uuid: VDI } }));
    // An explicit value takes precedence over the path.
    expect(workerArguments(answer, 'import')).toMatchObject({ sr: VDI });
  });

  test('get_version in JSON also has the version of vdistream', async () => {
    expect((await success({ fn: 'get_version', members: {} })).value).toEqual({ version: '2.1', vdistream: '1.2.3' });
    expect((await success({ fn: 'get_version', members: { params: '{}' } })).value).toEqual({ version: '2.1', vdistream: '1.2.3' });
  });

  test('a staging folder holds the image, and layers that arrive too early', async () => {
    const answer = await success({ fn: 'download_vhd2', members: { ...OPERATOR, staging: '/var/tmp/stage' } });
    expect(workerArguments(answer, 'staged')).toEqual({ folder: '/var/tmp/stage' });
    expect(workerArguments(answer, 'import')).toMatchObject({ staging: '/var/tmp/stage' });
    expect(workerArguments(answer, 'cached')).toBeUndefined();
  });

  test('a cache replaces the staging folder', async () => {
    const answer = await success({
      fn: 'download_vhd2',
      members: { ...OPERATOR, staging: '/stage', cache: '/cache', cache_size: '5000000000' },
    });
    expect(workerArguments(answer, 'cached')).toEqual({ folder: '/cache', size: 5_000_000_000 });
    expect(workerArguments(answer, 'staged')).toBeUndefined();
    expect(workerArguments(answer, 'import')).toMatchObject({ staging: '/stage' });
  });
});

describe('when the work fails,', () => {
  const FAILED = 'XENAPI_PLUGIN_FAILURE';

  test('an error that a retry can fix is a RetryableError', async () => {
    expect(await failure(nova('busy'))).toEqual([
      FAILED,
      'download_vhd2',
      'RetryableError',
      expect.stringMatching(/status 503 \(HTTP_SERVER\)\. Check the log of the server/),
    ]);
  });

  test('broken input is a PluginError with member, offset, code, advice and what was left behind, in one line', async () => {
    expect(await failure(nova('broken'))).toEqual([
      FAILED,
      'download_vhd2',
      'PluginError',
      '0.vhd: at byte 1544: block 2 lies at byte 0 & <there> (VHD_BLOCK_METADATA). The image is damaged or truncated. Fetch or export it again. ' +
        'Left behind: VDI 4711, which is still plugged.',
    ]);
  });

  test('the causes are reported too', async () => {
    expect((await failure(nova('full')))[3]).toMatch(/^no room \(SR_FULL\)\. Free some space.* Cause: xe has failed \(XE_FAILED\)\.$/);
  });

  test('warnings are printed on stderr', async () => {
    expect((await success(nova('odd'))).stderr).toContain('vdistream-plugin: warning: 0.vhd: the footer is of 2038 (VHD_TIMESTAMP)\n');
  });

  test('a bug in vdistream is a PluginError, without any part of the argument in its message', async () => {
    const [code, fn, kind, text] = await failure(nova('defect'));
    expect([code, fn, kind]).toEqual([FAILED, 'download_vhd2', 'PluginError']);
    // What follows the token is no part of it, and hides nothing.
    expect(text).toMatch(
      /^This is a bug in vdistream, please report it: TypeError: cannot send the header "\*\*\*", nor \*\*\*:\*\*\*\. at /,
    );
  });

  test('an uncaught exception cancels the work, and is reported once the work has cleaned up', async () => {
    const { reply, stderr } = await call(nova('stray'));
    expect(reply?.ErrorDescription?.slice(0, 3)).toEqual([FAILED, 'download_vhd2', 'PluginError']);
    expect(reply?.ErrorDescription?.[3]).toMatch(/RangeError: nobody catches this/);
    expect(stderr).toContain('cleaned up');
  });

  test.each([['never'], ['exit']])('the lack of a result, by %s, is a PluginError', async (image) => {
    const [code, fn, kind, text] = await failure(nova(image));
    expect([code, fn, kind]).toEqual([FAILED, 'download_vhd2', 'PluginError']);
    expect(text).toMatch(/the call ended without a result/);
  });

  test('nothing printed meanwhile gets into the document, nor does a warning of Node', async () => {
    const { value, stderr } = await success(nova('chatty'));
    expect(value).toEqual({ root: { uuid: VDI } });
    expect(stderr).toMatch(/on stdout by console.log[\s\S]*on stdout by write[\s\S]*a warning of Node/);
  });

  test('an answer larger than the pipe buffer is written completely', async () => {
    const fn = 'x'.repeat(100_000);
    expect(await failure({ fn, members: {}, stdout: 'pipe' })).toEqual(['UNKNOWN_XENAPI_PLUGIN_FUNCTION', fn]);
  });

  test('the plugin exits silently if nobody reads the answer', async () => {
    expect(await plugin.ask({ ...nova('good'), stdout: 'gone' })).toMatchObject({ status: 0, unreadable: { stdout: '' } });
  });

  test('handles still open after the work do not keep xapi waiting', async () => {
    expect((await success(nova('crowded'))).value).toEqual({ root: { uuid: VDI } });
  });
});

describe('signals', () => {
  test.each([['SIGTERM'], ['SIGINT'], ['SIGHUP']])('%s cancels the work, and is a RetryableError after the clean-up', async (signal) => {
    const { reply, stderr } = await call({ ...nova('slow'), signals: [signal] });
    const [code, fn, kind, text] = reply?.ErrorDescription ?? [];
    expect([code, fn, kind]).toEqual(['XENAPI_PLUGIN_FAILURE', 'download_vhd2', 'RetryableError']);
    expect(text).toMatch(new RegExp(`^cancelled by ${signal} \\(CANCELLED\\)\\.`));
    expect(text).not.toContain('While stopping');
    expect(stderr).toContain('cleaned up');
  });

  test('a failure of the clean-up is reported after the signal', async () => {
    const [, , kind, text] = await failure({ ...nova('slow and stuck'), signals: ['SIGTERM'] });
    expect(kind).toBe('RetryableError');
    expect(text).toMatch(/^cancelled by SIGTERM.* While stopping: the device is still open \(VBD_DETACH\)\. Left behind: VBD 4711\.$/);
  });

  test('a bug during the clean-up is reported after the signal', async () => {
    const [, , kind, text] = await failure({ ...nova('slow and defect'), signals: ['SIGTERM'] });
    expect(kind).toBe('RetryableError');
    expect(text).toMatch(/^cancelled by SIGTERM.* While stopping: This is a bug in vdistream.*TypeError: the clean-up has a mistake at /);
  });

  test('work that finishes despite the signal returns its result', async () => {
    expect((await success({ ...nova('slow and done'), signals: ['SIGTERM'] })).value).toEqual({ root: { uuid: VDI } });
  });

  test('a second signal ends the plugin immediately, still with an answer', async () => {
    const [, , kind, text] = await failure({ ...nova('deaf'), signals: ['SIGTERM', 'SIGTERM'] });
    expect(kind).toBe('RetryableError');
    expect(text).toMatch(/^cancelled by SIGTERM.* Left behind: .*vdistream reap/);
  });
});
