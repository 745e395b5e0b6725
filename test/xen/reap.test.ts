/** Reap: which unfinished VDIs it removes, and what it reports of them. */

import { randomUUID } from 'node:crypto';
import { describe, expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { failure } from '../support/failure.ts';
import { callsFromNow, commandLine } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';
import { byVdi, leftOver, type Owner, place, plug, reaping, removed, startOf, xe } from './left-overs.ts';

const test = testWith('root', 'loop', 'g++');

describe('a left-over', () => {
  test('is removed in any state: just created, with a VBD, plugged, or unplugged again', async () => {
    const vdis = [await leftOver(), await leftOver(), await leftOver(), await leftOver()];
    const [, waiting = '', plugged = '', detached = ''] = vdis;
    await xe('vbd-create', `vm-uuid=${place.host.dom0}`, `vdi-uuid=${waiting}`, 'device=autodetect');
    await plug(plugged);
    await xe('vbd-unplug', `uuid=${await plug(detached)}`);
    const { leftOvers, ...counts } = await reaping();
    expect(byVdi(leftOvers)).toEqual(byVdi(vdis.map((vdi) => removed(vdi))));
    expect(counts).toEqual({ leftOverVbds: [], removed: 4, failed: 0 });
    assertClean(place.host);
  });

  test.each<[string, () => Owner]>([
    ['has ended', () => ({})],
    ['belonged to another boot of this host', () => ({ boot: randomUUID() })],
    [
      'had the pid and start time of a running process, but in another boot',
      () => ({ boot: randomUUID(), pid: process.pid, start: startOf(process.pid) }),
    ],
    ['had the pid of another process that runs now', () => ({ pid: process.pid, start: '1' })],
  ])('is removed if its process %s', async (_, owner) => {
    const vdi = await leftOver(owner());
    expect((await reaping()).leftOvers).toEqual([removed(vdi, owner())]);
    assertClean(place.host);
  });

  test('is removed whatever its other tags are', async () => {
    const vdi = await leftOver({}, place.sr, 'tags:web, blue=');
    expect((await reaping()).leftOvers).toEqual([removed(vdi)]);
    assertClean(place.host);
  });

  test('is removed on every SR, or on the given one', async () => {
    const others = [await place.host.sr('ext'), await place.host.sr('lvmoiscsi')];
    const vdis = [await leftOver(), await leftOver({}, others[0]), await leftOver({}, others[1])];
    const [, ext = '', ...more] = vdis;
    expect((await reaping({ sr: others[0] })).leftOvers).toEqual([removed(ext)]);
    expect((await reaping({ sr: others[0] })).leftOvers).toEqual([]);
    expect(byVdi((await reaping()).leftOvers)).toEqual(byVdi([vdis[0] ?? '', ...more.slice(0)].map((vdi) => removed(vdi))));
    assertClean(place.host);
  });

  test('is only reported in a dry run', async () => {
    const vdi = await leftOver();
    const vbd = await plug(vdi);
    const before = place.host.state();
    expect(await reaping({ dryRun: true })).toEqual({
      leftOvers: [{ ...removed(vdi), removed: false }],
      leftOverVbds: [],
      removed: 0,
      failed: 0,
    });
    expect(place.host.state()).toEqual(before);
    assertClean(place.host, { vdis: [vdi], vbds: [vbd] });
  });

  test('is removed once by two concurrent reaps, and neither fails', async () => {
    const vdis: string[] = [];
    for (let count = 0; count < 4; count++) vdis.push(await leftOver());
    for (const vdi of vdis.slice(2)) await plug(vdi);
    const inside = [reaping(), reaping()];
    const outside = [commandLine(place, ['reap', '--json']).ended, commandLine(place, ['reap', '--json']).ended];
    const printed = (await Promise.all(outside)).map(({ status, stdout, stderr }) => {
      // Who waits longer than a second reports it.
      const warnings = stderr
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line).warning.code);
      expect([status, warnings.filter((code) => code !== 'LOCK_WAIT')]).toEqual([0, []]);
      return JSON.parse(stdout);
    });
    const results = [...(await Promise.all(inside)), ...printed];
    expect(results.map(({ failed }) => failed)).toEqual([0, 0, 0, 0]);
    expect(byVdi(results.flatMap(({ leftOvers }) => leftOvers))).toEqual(byVdi(vdis.map((vdi) => removed(vdi))));
    assertClean(place.host);
  });

  test('that cannot be removed is reported, does not block the others, and is removed later', async () => {
    const vdis = [await leftOver(), await leftOver(), await leftOver(), await leftOver()];
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
    expect(left.get(unanswered)).toEqual([expect.stringContaining('xe vdi-destroy did not finish within 1 s')]);
    assertClean(place.host, { vdis: [rejected, refused, unanswered], vbds: [vbd] });

    await place.host.noFaults();
    expect(await reaping()).toMatchObject({ removed: 3, failed: 0 });
    assertClean(place.host);
  });

  test('is reported while the SR is not attached here', async () => {
    const vdi = await leftOver();
    const [pbd = ''] = place.host.state().pbd.map(({ uuid }) => uuid);
    await place.host.change('pbd', pbd, { currentlyAttached: false });
    const { leftOvers, failed } = await reaping();
    expect(failed).toBe(1);
    expect(leftOvers).toEqual([{ ...removed(vdi), removed: false, left: [expect.stringContaining('no attached PBDs')] }]);
    await place.host.change('pbd', pbd, { currentlyAttached: true });
    expect(await reaping()).toMatchObject({ removed: 1, failed: 0 });
    assertClean(place.host);
  });

  test('with a toolstack operation still in progress is reported, and removed later', async () => {
    const vdi = await leftOver();
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

describe('a signal', () => {
  test('lets the current removal finish, and leaves the other disks to the next reap', async () => {
    for (let count = 0; count < 3; count++) await leftOver();
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

  test('while the toolstack does not answer ends the reap after the grace period', async () => {
    const called = await callsFromNow(place.host);
    await place.host.fault({ command: 'vdi-list', what: 'hang' });
    const stop = new AbortController();
    const running = failure(reaping({ signal: stop.signal }));
    await called('vdi-list');
    stop.abort();
    expect((await running).code).toBe('CANCELLED');
  });
});
