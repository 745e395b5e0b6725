/** `vdistream reap`: what it prints, and how it ends. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { callsFromNow, commandLine, signalled } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';
import { leftOver, NOBODY, place, plug, removed } from './left-overs.ts';

const test = testWith('root', 'loop', 'g++');

describe('vdistream reap', () => {
  const run = async (...args: string[]) => {
    const { status, stdout, stderr } = await commandLine(place, ['reap', ...args]).ended;
    return { status, stdout, stderr };
  };

  test('says so if there is nothing to remove', async () => {
    expect(await run()).toEqual({ status: 0, stdout: 'No left-over VDIs found.\n', stderr: '' });
    expect(await run('--json')).toEqual({ status: 0, stdout: '{"leftOvers":[],"leftOverVbds":[],"removed":0,"failed":0}\n', stderr: '' });
    expect(await run('--quiet')).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('lists what it would remove, then what it has removed', async () => {
    const vdi = await leftOver();
    await plug(vdi);
    expect(await run('--dry-run')).toEqual({ status: 0, stdout: `${vdi}  a left-over: would be removed\n`, stderr: '' });
    expect(JSON.parse((await run('--dry-run', '--json')).stdout)).toEqual({
      leftOvers: [{ ...removed(vdi), removed: false }],
      leftOverVbds: [],
      removed: 0,
      failed: 0,
    });
    expect(await run()).toEqual({ status: 0, stdout: `${vdi}  removed\n`, stderr: '' });
    assertClean(place.host);
  });

  test('can be limited to one SR', async () => {
    const ext = await place.host.sr('ext');
    const [here, there] = [await leftOver(), await leftOver({}, ext)];
    const { status, stdout } = await run('--json', '--sr', ext.toUpperCase());
    expect([status, JSON.parse(stdout)]).toEqual([0, { leftOvers: [removed(there)], leftOverVbds: [], removed: 1, failed: 0 }]);
    assertClean(place.host, { vdis: [here] });
  });

  test('exits with 1 if something could not be removed, and says why', async () => {
    const vdi = await leftOver();
    await place.host.fault({ command: 'vdi-destroy', always: true, what: { fail: ['VDI_IN_USE', 'OpaqueRef:0', 'destroy'] } });
    const { status, stdout, stderr } = await run();
    expect([status, stderr]).toEqual([1, '']);
    expect(stdout).toMatch(new RegExp(`^${vdi}  could not be removed: VDI ${vdi}: xe vdi-destroy: .* in use by some other operation`));
    const json = await run('--json');
    expect([json.status, JSON.parse(json.stdout)]).toMatchObject([1, { removed: 0, failed: 1, leftOvers: [{ vdi, removed: false }] }]);
    expect(await run('--quiet')).toEqual({ status: 1, stdout: '', stderr: stdout });
  });

  test.each([
    [2, 'USAGE', ['something']],
    [2, 'USAGE', ['--sr', 'default']],
    [1, 'XE_UUID', ['--sr', NOBODY]],
    [1, 'XE_MISSING', ['--xe', '/nowhere/xe']],
  ])('exits with %i and %s for %j', async (status, code, args) => {
    const ran = await run('--json', ...args);
    expect([ran.status, ran.stdout, JSON.parse(ran.stderr).error.code]).toEqual([status, '', code]);
  });

  test('fails with a typed error if the client cannot be started', async () => {
    const script = `
      import { openSync } from 'node:fs';
      const { createPool, reap } = await import(${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)});
      createPool({ count: 1, size: 4096 }); // loads the addon
      try {
        for (;;) openSync('/dev/null');
      } catch {}
      await reap(${JSON.stringify({ sr: place.sr, xe: place.xe })}).catch(({ code, message }) => {
        process.stdout.write(JSON.stringify([code, message]));
      });`;
    const { stdout } = await promisify(execFile)('prlimit', ['--nofile=500', process.execPath, '--input-type=module', '--eval', script]);
    expect(JSON.parse(stdout)).toEqual(['XE_FAILED', expect.stringContaining('EMFILE')]);
  });

  test('exits with 1 and XE_CONNECTION if there is no toolstack', async () => {
    await place.host.kill();
    try {
      const { status, stdout, stderr } = await run('--json');
      expect([status, stdout, JSON.parse(stderr).error.code]).toEqual([1, '', 'XE_CONNECTION']);
    } finally {
      await place.host.restart();
    }
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('exits with 130 on %s, once it has removed the current disk', async (signal) => {
    await leftOver();
    await leftOver();
    const called = await callsFromNow(place.host);
    await place.host.fault({ command: 'vdi-destroy', what: 'late' });
    const { child, ended: over } = commandLine(place, ['reap', '--json']);
    await called('vdi-destroy');
    await signalled(child, signal);
    await place.host.release();
    const { status, stdout, stderr } = await over;
    expect([status, stdout, JSON.parse(stderr).error.code]).toEqual([130, '', 'CANCELLED']);
    expect(place.host.state().vdi.length).toBe(1);
    expect((await run()).status).toBe(0);
    assertClean(place.host);
  });
});
