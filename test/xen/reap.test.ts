/** Reap: which unfinished VDIs it removes, which it leaves alone, and what it tells of them. */

import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, vi } from 'vitest';
import { importImage, reap } from '../../src/index.ts';
import { newMark } from '../../src/xen/mark.ts';
import { answer } from '../stand-in/answer.ts';
import { assertClean } from '../stand-in/clean.ts';
import { failure } from '../support/failure.ts';
import { callsFromNow, commandLine, expectArrived, importing, newPlace, type Place, signalled } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';

const test = testWith('root', 'loop', 'g++');

const BOOT = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
const NOBODY = '00000000-0000-4000-8000-000000000000';

let place: Place;
/** pid and start of a process that has ended. */
let ended: { pid: number; start: string };

beforeAll(async () => {
  const child = spawn('sleep', ['600']);
  await once(child, 'spawn');
  ended = { pid: child.pid ?? 0, start: startOf(child.pid) };
  child.kill();
  await once(child, 'exit');
});
beforeEach(async () => {
  if (place !== undefined && place.host.state().vdi.length === 0) return place.host.noFaults();
  await place?.host.stop();
  place = await newPlace();
});
afterAll(() => place?.host.stop());

/** Field 22 of /proc/PID/stat; these names have no spaces in them. */
const startOf = (pid: number | undefined): string => readFileSync(`/proc/${pid}/stat`, 'latin1').split(' ')[21] ?? '';

interface Owner {
  readonly host?: string;
  readonly boot?: string;
  readonly pid?: number;
  readonly start?: string;
}

let imports = 0;

/** The tag of an import: of one that is dead unless `owner` says otherwise. */
const markOf = ({ host = place.host.uuid, boot = BOOT, pid = ended.pid, start = ended.start }: Owner = {}): string =>
  `vdistream.${host}.${boot}.${pid}.${start}.${++imports}`;

const xe = (...args: string[]): Promise<string> => answer(place.host, args);

const disk = (mark: string, sr = place.sr, ...more: string[]): Promise<string> =>
  xe('vdi-create', `sr-uuid=${sr}`, 'name-label=left', 'virtual-size=2097152', `tags:${mark}=`, ...more);

async function plug(vdi: string, vm = place.host.dom0): Promise<string> {
  const vbd = await xe('vbd-create', `vm-uuid=${vm}`, `vdi-uuid=${vdi}`, 'device=autodetect', 'mode=RW');
  await xe('vbd-plug', `uuid=${vbd}`);
  return vbd;
}

const reaping = (options: Parameters<typeof reap>[0] = {}) => reap({ xe: place.xe, ...options });

const removed = (vdi: string, owner: Owner = {}) => ({
  vdi,
  host: place.host.uuid,
  pid: owner.pid ?? ended.pid,
  owner: 'dead',
  removed: true,
  left: [],
});

const byVdi = <T extends { readonly vdi: string }>(leftOvers: readonly T[]): T[] => leftOvers.toSorted((a, b) => (a.vdi < b.vdi ? -1 : 1));

describe('a left-over', () => {
  test('is removed as it is: just made, with a VBD, plugged, detached again', async () => {
    const vdis = [await disk(markOf()), await disk(markOf()), await disk(markOf()), await disk(markOf())];
    const [, waiting = '', plugged = '', detached = ''] = vdis;
    await xe('vbd-create', `vm-uuid=${place.host.dom0}`, `vdi-uuid=${waiting}`, 'device=autodetect');
    await plug(plugged);
    await xe('vbd-unplug', `uuid=${await plug(detached)}`);
    const { leftOvers, ...counts } = await reaping();
    expect(byVdi(leftOvers)).toEqual(byVdi(vdis.map((vdi) => removed(vdi))));
    expect(counts).toEqual({ removed: 4, failed: 0 });
    assertClean(place.host);
  });

  test.each<[string, () => Owner]>([
    ['has ended', () => ({})],
    ['belonged to another boot of this host', () => ({ boot: randomUUID() })],
    [
      'had the pid and the start of one of now, in another boot',
      () => ({ boot: randomUUID(), pid: process.pid, start: startOf(process.pid) }),
    ],
    ['had the pid of one that runs now', () => ({ pid: process.pid, start: '1' })],
  ])('is removed if its process %s', async (_, owner) => {
    const vdi = await disk(markOf(owner()));
    expect((await reaping()).leftOvers).toEqual([removed(vdi, owner())]);
    assertClean(place.host);
  });

  test('is removed whatever else it is called and tagged', async () => {
    const vdi = await disk(markOf(), place.sr, 'tags:web, blue=');
    await xe('vdi-param-set', `uuid=${vdi}`, 'name-label=a\\b,c');
    expect((await reaping()).leftOvers).toEqual([removed(vdi)]);
    assertClean(place.host);
  });

  test('is removed on every SR, or on the one that is named', async () => {
    const others = [await place.host.sr('ext'), await place.host.sr('lvmoiscsi')];
    const vdis = [await disk(markOf()), await disk(markOf(), others[0]), await disk(markOf(), others[1])];
    const [, ext = '', ...more] = vdis;
    expect((await reaping({ sr: others[0] })).leftOvers).toEqual([removed(ext)]);
    expect((await reaping({ sr: others[0] })).leftOvers).toEqual([]);
    expect(byVdi((await reaping()).leftOvers)).toEqual(byVdi([vdis[0] ?? '', ...more.slice(0)].map((vdi) => removed(vdi))));
    assertClean(place.host);
  });

  test('is only told of in a dry run', async () => {
    const vdi = await disk(markOf());
    const vbd = await plug(vdi);
    const before = place.host.state();
    expect(await reaping({ dryRun: true })).toEqual({ leftOvers: [{ ...removed(vdi), removed: false }], removed: 0, failed: 0 });
    expect(place.host.state()).toEqual(before);
    assertClean(place.host, { vdis: [vdi], vbds: [vbd] });
  });

  test('is removed once by two that reap at the same time, and neither fails', async () => {
    const vdis: string[] = [];
    for (let count = 0; count < 4; count++) vdis.push(await disk(markOf()));
    for (const vdi of vdis.slice(2)) await plug(vdi);
    const inside = [reaping(), reaping()];
    const outside = [commandLine(place, ['reap', '--json']).ended, commandLine(place, ['reap', '--json']).ended];
    const told = (await Promise.all(outside)).map(({ status, stdout, stderr }) => {
      expect([status, stderr]).toEqual([0, '']);
      return JSON.parse(stdout);
    });
    const results = [...(await Promise.all(inside)), ...told];
    expect(results.map(({ failed }) => failed)).toEqual([0, 0, 0, 0]);
    expect(byVdi(results.flatMap(({ leftOvers }) => leftOvers))).toEqual(byVdi(vdis.map((vdi) => removed(vdi))));
    assertClean(place.host);
  });

  test('that cannot be removed is told of, does not keep the others, and is removed later', async () => {
    const vdis = [await disk(markOf()), await disk(markOf()), await disk(markOf()), await disk(markOf())];
    const [rejected = '', refused = '', unanswered = ''] = vdis;
    const vbd = await plug(rejected);
    await place.host.fault({ command: 'vbd-unplug', argument: `uuid=${vbd}`, always: true, what: { fail: ['DEVICE_DETACH_REJECTED'] } });
    const destroy = { command: 'vdi-destroy', always: true } as const;
    await place.host.fault({ ...destroy, argument: `uuid=${refused}`, what: { fail: ['SR_BACKEND_FAILURE_80', '', 'Failed', ''] } });
    await place.host.fault({ ...destroy, argument: `uuid=${unanswered}`, what: 'hang' });
    const result = await reaping({ xe: { ...place.xe, timeout: 1000 } });
    expect([result.removed, result.failed]).toEqual([1, 3]);
    const left = new Map(result.leftOvers.map((leftOver) => [leftOver.vdi, leftOver.left]));
    expect(left.get(rejected)).toEqual([expect.stringContaining(`VBD ${vbd} is still plugged: xe vbd-unplug: The VM rejected`)]);
    expect(left.get(refused)).toEqual([expect.stringContaining('xe vdi-destroy: Error code: SR_BACKEND_FAILURE_80')]);
    expect(left.get(unanswered)).toEqual([expect.stringContaining('xe vdi-destroy was not done after 1 s')]);
    assertClean(place.host, { vdis: [rejected, refused, unanswered], vbds: [vbd] });

    await place.host.noFaults();
    expect(await reaping()).toMatchObject({ removed: 3, failed: 0 });
    assertClean(place.host);
  });

  test('is told of while the SR is not attached here', async () => {
    const vdi = await disk(markOf());
    const [pbd = ''] = place.host.state().pbd.map(({ uuid }) => uuid);
    await place.host.change('pbd', pbd, { currentlyAttached: false });
    const { leftOvers, failed } = await reaping();
    expect(failed).toBe(1);
    expect(leftOvers).toEqual([{ ...removed(vdi), removed: false, left: [expect.stringContaining('no attached PBDs')] }]);
    await place.host.change('pbd', pbd, { currentlyAttached: true });
    expect(await reaping()).toMatchObject({ removed: 1, failed: 0 });
    assertClean(place.host);
  });

  test('that the toolstack is still at work on is told of, and removed later', async () => {
    const vdi = await disk(markOf());
    const vbd = await xe('vbd-create', `vm-uuid=${place.host.dom0}`, `vdi-uuid=${vdi}`, 'device=autodetect');
    await place.host.fault({ command: 'vbd-plug', what: 'late' });
    const called = await callsFromNow(place.host);
    const plugging = place.host.run(['vbd-plug', `uuid=${vbd}`]);
    await called('vbd-plug');
    expect(await reaping()).toMatchObject({
      removed: 0,
      failed: 1,
      leftOvers: [{ vdi, left: [expect.stringContaining('Another operation')] }],
    });
    await place.host.release();
    await plugging;
    expect(await reaping()).toMatchObject({ removed: 1, failed: 0 });
    assertClean(place.host);
  });
});

describe('what is no left-over', () => {
  test('an import that runs in another process is left alone, and gets there', async () => {
    const called = await callsFromNow(place.host);
    await place.host.fault({ command: 'vbd-list', what: 'late' });
    const { child, ended: done } = importing(place, place.image);
    await called('vbd-list');
    const [vdi = ''] = place.host.state().vdi.map(({ uuid }) => uuid);
    const running = { vdi, host: place.host.uuid, pid: child.pid, owner: 'running', removed: false, left: [] };
    expect(await reaping()).toEqual({ leftOvers: [running], removed: 0, failed: 0 });
    const { stdout, status } = await commandLine(place, ['reap']).ended;
    expect([status, stdout]).toEqual([0, `${vdi}  left alone: the import that makes it is running (pid ${child.pid})\n`]);
    await place.host.release();
    expect(await done).toEqual({ vdi });
    expectArrived(place, vdi);
  });

  test('an import in this very process is left alone too', async () => {
    const vdi = await disk(markOf({ pid: process.pid, start: startOf(process.pid) }));
    expect((await reaping()).leftOvers).toEqual([{ ...removed(vdi), pid: process.pid, owner: 'running', removed: false }]);
    assertClean(place.host, { vdis: [vdi] });
  });

  test('an import by another copy of this library in the same process, as threads have them, is not taken for this one’s', async () => {
    vi.resetModules();
    const copy = await import('../../src/xen/mark.ts');
    expect(copy.newMark).not.toBe(newMark);
    expect(copy.newMark(NOBODY).text).not.toBe(newMark(NOBODY).text);
  });

  test('what belongs to another host is told of and left alone, though its process could not run here', async () => {
    const [, there = ''] = place.host.state().host.map(({ uuid }) => uuid);
    const shared = await place.host.sr('nfs', { shared: true });
    const vdi = await disk(markOf({ host: there, boot: randomUUID() }), shared);
    const other = { ...removed(vdi), host: there, owner: 'other-host', removed: false };
    expect(await reaping()).toEqual({ leftOvers: [other], removed: 0, failed: 0 });
    const { stdout, status } = await commandLine(place, ['reap']).ended;
    expect([status, stdout]).toEqual([0, `${vdi}  left alone: its import ran on host ${there}\n`]);
    assertClean(place.host, { vdis: [vdi] });
  });

  test.each<[string, () => string, boolean]>([
    ['a guest has plugged', () => place.host.guest, true],
    ['a guest has got, though not plugged', () => place.host.guest, false],
    ['the control domain of another host has plugged', () => place.host.otherDom0, true],
  ])('what %s is left alone, and that is told', async (_, vm, isPlugged) => {
    const vdi = await disk(markOf());
    const ours = await plug(vdi);
    const theirs = isPlugged ? await plug(vdi, vm()) : await xe('vbd-create', `vm-uuid=${vm()}`, `vdi-uuid=${vdi}`, 'device=0');
    const before = place.host.state();
    const left = [`VDI ${vdi}: another machine has it attached, by VBD ${theirs}`];
    expect(await reaping()).toEqual({ leftOvers: [{ ...removed(vdi), removed: false, left }], removed: 0, failed: 1 });
    expect(place.host.state()).toEqual(before);
    assertClean(place.host, { vdis: [vdi], vbds: [ours, theirs] });
  });

  test.each([
    ['without a number', (mark: string) => mark.slice(0, mark.lastIndexOf('.'))],
    ['with more behind it', (mark: string) => `${mark}.1`],
    ['with something in front', (mark: string) => `old ${mark}`],
    ['in capitals', (mark: string) => mark.toUpperCase()],
    ['as a part of a longer one', (mark: string) => `a, ${mark}, b`],
    ['of no host', (mark: string) => mark.replace(place.host.uuid, 'localhost')],
    ['of no boot', (mark: string) => mark.replace(BOOT, 'boot')],
    ['of process 0', (mark: string) => mark.replace(`.${ended.pid}.`, '.0.')],
  ])('a tag like a mark, %s, is nobody’s', async (_, like) => {
    const vdi = await disk(like(markOf()));
    expect(await reaping()).toEqual({ leftOvers: [], removed: 0, failed: 0 });
    assertClean(place.host, { vdis: [vdi] });
  });
});

describe('an import', () => {
  const imported = (sr = place.sr, options: object = {}) => importImage(place.image, { sr, name: 'image', xe: place.xe, ...options });

  test('reaps its own SR first, and no other', async () => {
    const ext = await place.host.sr('ext');
    await plug(await disk(markOf()));
    const elsewhere = await disk(markOf(), ext);
    const { vdi, warnings } = await imported();
    expect(warnings).toEqual([]);
    expectArrived(place, vdi, { vdis: [elsewhere] });
  });

  test('only warns of what it cannot reap, and is not strict about that', async () => {
    const stuck = await disk(markOf());
    await place.host.fault({ command: 'vdi-destroy', what: { fail: ['SR_BACKEND_FAILURE_80', '', 'Failed', ''] } });
    const { vdi, warnings } = await imported(place.sr, { strict: true });
    expect(warnings).toEqual([{ code: 'REAP_LEFT', message: expect.stringContaining(`VDI ${stuck}: xe vdi-destroy: `) }]);
    expectArrived(place, vdi, { vdis: [stuck] });
  });

  test('only warns if it cannot look', async () => {
    await place.host.fault({ command: 'vdi-list', what: 'die' });
    const { vdi, warnings } = await imported();
    expect(warnings).toEqual([{ code: 'REAP_LEFT', message: 'xe vdi-list: Lost connection to the server.' }]);
    expectArrived(place, vdi);
  });

  test('on the command line tells its warning on stderr, and succeeds', async () => {
    const stuck = await disk(markOf());
    await place.host.fault({ command: 'vdi-destroy', what: { fail: ['VDI_IN_USE', 'OpaqueRef:0', 'destroy'] } });
    const { status, stdout, stderr } = await commandLine(place, ['import', place.image, '--sr', place.sr, '--name', 'image']).ended;
    expect(status).toBe(0);
    expect(stderr).toMatch(new RegExp(`^vdistream: warning: VDI ${stuck}: xe vdi-destroy: .* \\(REAP_LEFT\\)$`, 'm'));
    expectArrived(place, stdout.trim(), { vdis: [stuck] });
  });

  test('leaves alone what another import on the same SR is making meanwhile', async () => {
    const called = await callsFromNow(place.host);
    await place.host.fault({ command: 'vdi-param-get', what: 'late' });
    const first = importing(place, place.image);
    await called('vdi-param-get');
    const { vdi: second } = await imported();
    await place.host.release();
    const { vdi: made = '' } = await first.ended;
    expectArrived(place, made, { vdis: [second] });
    expectArrived(place, second, { vdis: [made] });
  });
});

describe('a signal', () => {
  test('lets the disk that is being removed go, and leaves the others to the next one', async () => {
    for (let count = 0; count < 3; count++) await disk(markOf());
    const called = await callsFromNow(place.host);
    await place.host.fault({ command: 'vdi-destroy', what: 'late' });
    const stop = new AbortController();
    const running = failure(reaping({ signal: stop.signal }));
    await called('vdi-destroy');
    stop.abort();
    await place.host.release();
    expect((await running).code).toBe('CANCELLED');
    expect(place.host.state().vdi.length).toBe(2);
    expect(await reaping()).toMatchObject({ removed: 2, failed: 0 });
    assertClean(place.host);
  });

  test('while the toolstack does not answer ends it after the grace', async () => {
    const called = await callsFromNow(place.host);
    await place.host.fault({ command: 'vdi-list', what: 'hang' });
    const stop = new AbortController();
    const running = failure(reaping({ signal: stop.signal }));
    await called('vdi-list');
    stop.abort();
    expect((await running).code).toBe('CANCELLED');
  });
});

describe('vdistream reap', () => {
  const run = async (...args: string[]) => {
    const { status, stdout, stderr } = await commandLine(place, ['reap', ...args]).ended;
    return { status, stdout, stderr };
  };

  test('says so when there is nothing', async () => {
    expect(await run()).toEqual({ status: 0, stdout: 'No unfinished VDI of an import is there.\n', stderr: '' });
    expect(await run('--json')).toEqual({ status: 0, stdout: '{"leftOvers":[],"removed":0,"failed":0}\n', stderr: '' });
    expect(await run('--quiet')).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('tells what it would remove, then what it has removed', async () => {
    const vdi = await disk(markOf());
    await plug(vdi);
    expect(await run('--dry-run')).toEqual({ status: 0, stdout: `${vdi}  a left-over: would be removed\n`, stderr: '' });
    expect(JSON.parse((await run('--dry-run', '--json')).stdout)).toEqual({
      leftOvers: [{ ...removed(vdi), removed: false }],
      removed: 0,
      failed: 0,
    });
    expect(await run()).toEqual({ status: 0, stdout: `${vdi}  removed\n`, stderr: '' });
    assertClean(place.host);
  });

  test('looks at one SR only', async () => {
    const ext = await place.host.sr('ext');
    const [here, there] = [await disk(markOf()), await disk(markOf(), ext)];
    const { status, stdout } = await run('--json', '--sr', ext.toUpperCase());
    expect([status, JSON.parse(stdout)]).toEqual([0, { leftOvers: [removed(there)], removed: 1, failed: 0 }]);
    assertClean(place.host, { vdis: [here] });
  });

  test('ends with 1 when something could not be removed, and tells why', async () => {
    const vdi = await disk(markOf());
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
  ])('ends with %i and %s for %j', async (status, code, args) => {
    const ran = await run('--json', ...args);
    expect([ran.status, ran.stdout, JSON.parse(ran.stderr).error.code]).toEqual([status, '', code]);
  });

  test('ends with a typed error when not even a client can be started', async () => {
    const script = `
      import { openSync } from 'node:fs';
      const { reap } = await import(${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)});
      try {
        for (;;) openSync('/dev/null');
      } catch {}
      await reap(${JSON.stringify({ sr: place.sr, xe: place.xe })}).catch(({ code, message }) => {
        process.stdout.write(JSON.stringify([code, message]));
      });`;
    const { stdout } = await promisify(execFile)('prlimit', ['--nofile=100', process.execPath, '--input-type=module', '--eval', script]);
    expect(JSON.parse(stdout)).toEqual(['XE_FAILED', expect.stringContaining('EMFILE')]);
  });

  test('ends with 1 and XE_CONNECTION when there is no toolstack', async () => {
    await place.host.kill();
    try {
      const { status, stdout, stderr } = await run('--json');
      expect([status, stdout, JSON.parse(stderr).error.code]).toEqual([1, '', 'XE_CONNECTION']);
    } finally {
      await place.host.restart();
    }
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('ends with 130 on %s, when the disk it is at is gone', async (signal) => {
    await disk(markOf());
    await disk(markOf());
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
