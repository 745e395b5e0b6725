/** The record of an import, and the locks it waits for, on a host. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, vi } from 'vitest';
import type { Warning } from '../../src/index.ts';
import { importImage, reap } from '../../src/index.ts';
import { createRecords } from '../../src/xen/record.ts';
import { assertClean } from '../stand-in/clean.ts';
import { failure } from '../support/failure.ts';
import { callsFromNow, commandLine, expectArrived, image, importing, type Place, places } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';
import { withoutProgress } from '../support/progress.ts';
import { stagingProcesses } from '../support/staging-process.ts';

const test = testWith('root', 'loop', 'g++');
const withPlace = places();
const startProcess = stagingProcesses();

const recordsOf = ({ xe }: Place): string[] => {
  try {
    return readdirSync(xe.records ?? '');
  } catch {
    return [];
  }
};

const imported = ({ sr, xe, image }: Place, options: object = {}) => importImage(image, { sr, xe, name: 'image', ...options });

describe('the record of an import', () => {
  test('is complete before the VDI is created, has its uuid before it is attached, and is gone with the tag', () =>
    withPlace(async (place) => {
      const { host } = place;
      const called = await callsFromNow(host);
      await host.fault({ command: 'vdi-create', what: 'late' });
      await host.fault({ command: 'vbd-create', what: 'late' });
      const running = importing(place, place.image);
      await called('vdi-create');
      const [token = ''] = recordsOf(place);
      expect(await createRecords(place.xe.records).find(token)).toMatchObject({ sr: place.sr, name: 'image', size: 5 * 2 ** 20 + 512 });
      await host.release();
      await called('vbd-create');
      const [vdi] = host.state().vdi;
      expect(vdi?.tags[0]?.endsWith(`.${token}`)).toBe(true);
      expect(await createRecords(place.xe.records).find(token)).toMatchObject({ vdi: vdi?.uuid, tag: vdi?.tags[0] });
      await host.release();
      expect(await running.ended).toEqual({ vdi: vdi?.uuid });
      expect(recordsOf(place)).toEqual([]);
    }));

  test('is gone once a failed import was undone, and stays while its VDI does', () =>
    withPlace(async (place) => {
      await failure(importImage(place.broken, { sr: place.sr, xe: place.xe }));
      expect(recordsOf(place)).toEqual([]);
      await place.host.fault({ command: 'vdi-destroy', what: { fail: ['SR_BACKEND_FAILURE_80', '', 'Failed', ''] } });
      expect((await failure(importImage(place.broken, { sr: place.sr, xe: place.xe }))).left).toHaveLength(1);
      expect(recordsOf(place)).toHaveLength(1);
      expect(await reap({ xe: place.xe })).toMatchObject({ removed: 1, failed: 0 });
      expect(recordsOf(place)).toEqual([]);
    }));

  test('cannot be written: the import fails with RECORD before it creates anything', () =>
    withPlace(async (place) => {
      const records = join(place.host.folder, 'open');
      mkdirSync(records, { recursive: true });
      chmodSync(records, 0o777);
      const before = (await place.host.calls()).length;
      const error = await failure(imported(place, { xe: { ...place.xe, records } }));
      expect(error).toMatchObject({ code: 'RECORD', message: expect.stringContaining(`chmod 700 ${records}`), left: [] });
      expect((await place.host.calls()).slice(before).map(([command]) => command)).not.toContain('vdi-create');
      assertClean(place.host);
    }));

  test('without a VDI is removed by a reap a day later, not earlier, and not while its import runs', () =>
    withPlace(async (place) => {
      const called = await callsFromNow(place.host);
      await place.host.fault({ command: 'vdi-create', what: 'hang' });
      const { child, ended } = importing(place, place.image);
      await called('vdi-create');
      const [token = ''] = recordsOf(place);
      const old = (): void => utimesSync(join(place.xe.records ?? '', token), 0, 0);
      old();
      await reap({ xe: place.xe });
      expect(recordsOf(place)).toEqual([token]);
      child.kill('SIGKILL');
      await ended.catch(() => {});
      const now = Date.now() / 1000;
      utimesSync(join(place.xe.records ?? '', token), now, now);
      await reap({ xe: place.xe });
      expect(recordsOf(place)).toEqual([token]);
      old();
      await reap({ xe: place.xe, dryRun: true });
      expect(recordsOf(place)).toEqual([token]);
      await reap({ xe: place.xe });
      expect(recordsOf(place)).toEqual([]);
      await place.host.release();
    }));
});

describe('the plug lock', () => {
  /** A process that holds it. */
  async function held(place: Place, name = 'plug'): Promise<{ readonly path: string; readonly pid: number; release(): Promise<unknown> }> {
    const folder = place.xe.locks ?? '';
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, `${name}.lock`);
    const holder = startProcess({ does: 'hold', path });
    await holder.said('holding');
    const release = (): Promise<unknown> => {
      holder.child.stdin?.write('go on');
      return holder.outcome();
    };
    return { path, pid: holder.child.pid ?? 0, release };
  }

  test('that another process holds is waited for, and the import warns of it and succeeds', () =>
    withPlace(async (place) => {
      const { path, pid, release } = await held(place);
      const warnings: Warning[] = [];
      const running = imported(place, { onWarning: (warning: Warning) => warnings.push(warning) });
      const expected = [{ code: 'LOCK_WAIT', message: `waiting for the lock ${path}, which process ${pid} holds` }];
      await vi.waitFor(() => expect(warnings).toEqual(expected), 60_000);
      await release();
      const result = await running;
      expect(result.warnings).toEqual(expected);
      expectArrived(place, result.vdi);
    }));

  test('that another process holds is reported on stderr by the command line', () =>
    withPlace(async (place) => {
      const { path, pid, release } = await held(place);
      const { child, ended } = commandLine(place, ['import', place.image, '--sr', place.sr, '--name', 'image']);
      let text = '';
      child.stderr.on('data', (chunk: string) => {
        text += chunk;
      });
      const warning = `vdistream: warning: waiting for the lock ${path}, which process ${pid} holds (LOCK_WAIT)\n`;
      await vi.waitFor(() => expect(withoutProgress(text)).toBe(warning), 60_000);
      await release();
      const { status, stdout } = await ended;
      expect(status).toBe(0);
      expectArrived(place, stdout.trim());
    }));

  test.each(['SIGINT', 'SIGTERM'] as const)(
    'that another process holds does not delay a %s, after which nothing is left',
    (signal) =>
      withPlace(async (place) => {
        const { release } = await held(place);
        const called = await callsFromNow(place.host);
        const { child, ended } = commandLine(place, ['import', place.image, '--sr', place.sr, '--json']);
        await called('vbd-create');
        await once(child.stderr, 'data'); // it waits
        child.kill(signal);
        const { status, stdout } = await ended;
        expect([status, stdout]).toEqual([130, '']);
        assertClean(place.host);
        expect(recordsOf(place)).toEqual([]);
        await release();
      }),
    60_000,
  );

  test('that a stopped process holds ends the import at its limit, and what it created is removed', () =>
    withPlace(async (place) => {
      const { pid, release } = await held(place);
      process.kill(pid, 'SIGSTOP');
      const error = await failure(imported(place, { xe: { ...place.xe, timeout: 1000 } }));
      expect(error).toMatchObject({
        code: 'LOCK_TIMEOUT',
        message: expect.stringContaining(`process ${pid} has held the lock `),
        left: [],
      });
      assertClean(place.host);
      process.kill(pid, 'SIGCONT');
      await release();
    }));

  test('that a stopped process holds bounds the clean-up after a cancel, which lists what is left, and the next reap removes that', () =>
    withPlace(async (place) => {
      const stop = new AbortController();
      let holder: Awaited<ReturnType<typeof held>> | undefined;
      async function* source() {
        yield image.subarray(0, image.length / 2);
        // The VDI is attached as soon as its size is known.
        await vi.waitUntil(() => place.host.state().vbd.some(({ currentlyAttached }) => currentlyAttached), { timeout: 60_000 });
        holder = await held(place);
        process.kill(holder.pid, 'SIGSTOP');
        stop.abort();
        yield image.subarray(image.length / 2);
      }
      const xe = { ...place.xe, timeout: 1000 };
      const error = await failure(importImage(source(), { sr: place.sr, xe, signal: stop.signal }));
      expect(error).toMatchObject({
        code: 'CANCELLED',
        left: [expect.stringMatching(/VBD \S+ is still plugged: process \d+ has held the lock /)],
      });
      process.kill(holder?.pid ?? 0, 'SIGCONT');
      await holder?.release();
      expect(await reap({ xe: place.xe })).toMatchObject({ removed: 1, failed: 0 });
      assertClean(place.host);
    }));

  test('cannot be held by another user, nor by a socket with the name that it once was', () =>
    withPlace(async (place) => {
      const script = `
        const { createHash } = require('node:crypto');
        const name = 'vdistream-' + createHash('sha256').update('xapi plug').digest('hex');
        require('node:net').createServer().listen('\\0' + name.padEnd(106, '-') + '\\0', () => console.log('bound'));`;
      const stranger: ChildProcess = spawn('setpriv', ['--reuid=65534', '--clear-groups', process.execPath, '-e', script]);
      onTestFinished(() => void stranger.kill('SIGKILL'));
      if (stranger.stdout !== null) await once(stranger.stdout, 'data');
      const { vdi } = await imported(place);
      expectArrived(place, vdi);
    }));

  test('in a folder of somebody else fails the import with LOCK_FILE, and what it created is removed', () =>
    withPlace(async (place) => {
      const locks = join(place.host.folder, 'foreign');
      mkdirSync(locks, { recursive: true });
      chmodSync(locks, 0o777);
      const error = await failure(imported(place, { xe: { ...place.xe, locks } }));
      expect(error).toMatchObject({ code: 'LOCK_FILE', message: expect.stringContaining(`chmod 700 ${locks}`), left: [] });
      assertClean(place.host);
    }));
});
