/** Reap: an owner tag alone is no proof. What this host has no record of, or what has changed since, is listed and never destroyed. */

import { execFile, execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import type { Objects } from '../stand-in/host.ts';
import { callsFromNow, commandLine } from '../support/import-host.ts';
import { environmentOf } from '../support/imported.ts';
import { testWith } from '../support/needs.ts';
import {
  byVdi,
  disk,
  leftOver,
  oldTagOf,
  place,
  plug,
  reaping,
  recorded,
  records,
  removed,
  startOf,
  tagOf,
  tokenOf,
  xe,
} from './left-overs.ts';

const test = testWith('root', 'loop', 'g++');

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const NO_RECORD = 'this host has no record of such an import';

/** All objects, and the bytes of all disks. */
const everything = (): unknown => {
  const state = place.host.state();
  return { ...state, bytes: state.vdi.map(({ disk }) => createHash('md5').update(readFileSync(disk.path)).digest('hex')) };
};

const unproven = (vdi: string, doubt: unknown) => {
  const { tags = [] } = place.host.state().vdi.find(({ uuid }) => uuid === vdi) ?? {};
  const commands = {
    inspect: `xe vdi-param-list uuid=${vdi}`,
    keep: `xe vdi-param-remove uuid=${vdi} param-name=tags param-key=${tags[0]}`,
    destroy: `xe vdi-destroy uuid=${vdi}`,
  };
  return { ...removed(vdi), owner: 'unproven', removed: false, doubt, commands };
};

/** Reaps, and expects that these VDIs are listed with these doubts, and that nothing has changed. */
async function expectListed(doubts: Readonly<Record<string, unknown>>): Promise<void> {
  const before = everything();
  const { leftOvers, ...counts } = await reaping();
  expect(byVdi(leftOvers)).toEqual(byVdi(Object.entries(doubts).map(([vdi, doubt]) => unproven(vdi, doubt))));
  expect(counts).toEqual({ leftOverVbds: [], removed: 0, failed: 0 });
  expect(everything()).toEqual(before);
}

describe('a VDI of somebody else', () => {
  const payroll = (tag: string): Promise<string> => disk(tag, place.sr, 'type=system');

  test.each<[string, () => string, string]>([
    ['a made-up token', () => tagOf(), NO_RECORD],
    ['a made-up token and another boot', () => tagOf({ boot: randomUUID() }), NO_RECORD],
    [
      'the older form, of another boot',
      () => oldTagOf({ boot: randomUUID() }),
      'its tag is of an older version, which anybody can make up',
    ],
    ['the older form, of this boot', () => oldTagOf(), 'its tag is of an older version, which anybody can make up'],
  ])('that was tagged with %s is listed, and left as it is, even if it is plugged', async (_, tag, doubt) => {
    const vdi = await payroll(tag());
    const vbd = await plug(vdi);
    await expectListed({ [vdi]: doubt });
    assertClean(place.host, { vdis: [vdi], vbds: [vbd] });
  });

  test('that got a copy of the tag of a left-over is listed, and the left-over is removed', async () => {
    const vdi = await leftOver();
    const [tag = ''] = place.host.state().vdi.map(({ tags }) => tags[0]);
    const copy = await disk(tag);
    const { leftOvers, ...counts } = await reaping();
    expect(byVdi(leftOvers)).toEqual(byVdi([removed(vdi), unproven(copy, `its tag was copied from VDI ${vdi}`)]));
    expect(counts).toEqual({ leftOverVbds: [], removed: 1, failed: 0 });
    await expectListed({ [copy]: NO_RECORD });
    assertClean(place.host, { vdis: [copy] });
  });

  test('that got a copy of a tag whose import did not live to record its VDI is not confused with that, on any SR', async () => {
    const ext = await place.host.sr('ext');
    const tag = await recorded(tagOf());
    const vdis = [await disk(tag), await disk(tag, ext)];
    const doubt = "2 VDIs have the same tag, and the record does not say which is the import's";
    await expectListed(Object.fromEntries(vdis.map((vdi) => [vdi, doubt])));
    expect((await reaping({ sr: place.sr })).leftOvers).toEqual([unproven(vdis[0] ?? '', doubt)]);
    assertClean(place.host, { vdis });
  });

  test('is listed on the command line with the commands to inspect, keep or destroy it, which work', async () => {
    const vdis = [await payroll(tagOf()), await payroll(oldTagOf())];
    const { status, stdout, stderr } = await commandLine(place, ['reap']).ended;
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain(
      `${vdis[0]}  left alone: nothing proves that an import created it: ${NO_RECORD}\n    to inspect: xe vdi-param-list `,
    );
    const commands = (purpose: string): string[] =>
      stdout.split('\n').flatMap((line) => line.split(new RegExp(`^ +to ${purpose}: +`))[1] ?? []);
    const shell = (command = ''): string =>
      execFileSync('sh', ['-c', command], { encoding: 'utf8', env: { PATH: `${dirname(place.host.xe)}:/usr/bin:/bin` } });
    expect(shell(commands('inspect')[0])).toContain('name-label ( RW): left');
    shell(commands('keep').find((command) => command.includes(vdis[0] ?? '')));
    shell(commands('destroy').find((command) => command.includes(vdis[1] ?? '')));
    expect((await reaping()).leftOvers).toEqual([]);
    assertClean(place.host, { vdis: vdis.slice(0, 1) });
  });
});

describe('a left-over that is no longer what its import created', () => {
  type Change = Partial<Objects['vdi'][number]>;

  test.each<[string, Change, string]>([
    ['was renamed', { nameLabel: 'payroll' }, 'its name is "payroll", but the import named it "left"'],
    ['has another type', { type: 'system' }, 'its type is "system", but the import created a VDI of type user'],
    ['is a snapshot', { isSnapshot: true }, 'it is a snapshot'],
    ['is a snapshot of a VDI', { snapshotOf: randomUUID() }, 'it is a snapshot of another VDI'],
    ['is the parent of clones', { managed: false }, 'it is the hidden parent of other VDIs'],
    ['was cloned', { smConfig: { 'vhd-parent': randomUUID() } }, 'it shares a parent with other VDIs (vhd-parent in sm-config)'],
    [
      'has a parent in other-config',
      { otherConfig: { 'vhd-parent': 'x' } },
      'it shares a parent with other VDIs (vhd-parent in other-config)',
    ],
  ])('because it %s, is listed and kept', async (_, change, doubt) => {
    const vdi = await leftOver();
    await place.host.change('vdi', vdi, change);
    await expectListed({ [vdi]: doubt });
    assertClean(place.host, { vdis: [vdi] });
  });

  test('because it has a snapshot, is listed and kept', async () => {
    const vdi = await leftOver();
    const snapshot = await xe('vdi-create', `sr-uuid=${place.sr}`, 'name-label=left', 'virtual-size=2097152');
    await place.host.change('vdi', snapshot, { snapshotOf: vdi, isSnapshot: true });
    await expectListed({ [vdi]: 'it has snapshots' });
    assertClean(place.host, { vdis: [vdi, snapshot] });
  });

  test('or is smaller than that, or on another SR, is listed and kept', async () => {
    const sizes = await recorded(tagOf(), { size: 2 ** 21 + 1 });
    const srs = await recorded(tagOf(), { sr: randomUUID() });
    const vdis = [await disk(sizes), await disk(srs)];
    const onSr = expect.stringMatching(new RegExp(`^it is on SR ${place.sr}, but the import was to SR `));
    await expectListed({
      [vdis[0] ?? '']: 'its size is 2097152, but the import created a VDI of at least 2097153 bytes',
      [vdis[1] ?? '']: onSr,
    });
    assertClean(place.host, { vdis });
  });

  test('cannot be judged if the toolstack does not answer, and is reported', async () => {
    const vdi = await leftOver();
    await place.host.fault({ command: 'vdi-param-get', what: { fail: ['INTERNAL_ERROR', 'x'] } });
    expect((await reaping()).leftOvers).toEqual([{ ...removed(vdi), removed: false, left: [expect.stringContaining('xe vdi-param-get')] }]);
    expect(await reaping()).toMatchObject({ removed: 1, failed: 0 });
    assertClean(place.host);
  });
});

describe('a left-over whose import did not live to record its uuid', () => {
  test('is removed if it is the only VDI with its tag', async () => {
    const vdi = await disk(await recorded(tagOf()));
    expect((await reaping()).leftOvers).toEqual([removed(vdi)]);
    assertClean(place.host);
  });
});

test('a reap in a container that shares the records leaves alone what it cannot judge, and the host removes it', async () => {
  const vdi = await leftOver();
  const command = ['--pid', '--fork', '--kill-child', '--mount-proc', process.execPath, cli, 'reap', '--json'];
  const env = { ...environmentOf(place.host), VDISTREAM_INVENTORY: place.xe.inventory };
  const { stdout } = await promisify(execFile)('unshare', command, { env });
  expect(JSON.parse(stdout)).toMatchObject({ leftOvers: [{ vdi, owner: 'running', removed: false }], removed: 0, failed: 0 });
  expect((await reaping()).leftOvers).toEqual([removed(vdi)]);
  assertClean(place.host);
});

test('a left-over of a container that is gone is removed by the host', async () => {
  const vdi = await leftOver({ namespace: '4000000000', pid: process.pid, start: startOf(process.pid) });
  expect((await reaping()).leftOvers).toEqual([removed(vdi, { pid: process.pid })]);
  assertClean(place.host);
});

test('a reap in another container that has no records lists the left-overs, and removes nothing', async () => {
  const vdi = await leftOver();
  const { leftOvers } = await reaping({ xe: { ...place.xe, records: `${place.host.folder}/other-records` } });
  expect(leftOvers).toEqual([unproven(vdi, NO_RECORD)]);
  expect(await reaping()).toMatchObject({ removed: 1 });
  expect(await records().find(tokenOf(vdi))).toBeUndefined();
  assertClean(place.host);
});

test('reap looks at a left-over only under its lock, so that what another reap has removed is not reported', async () => {
  await leftOver();
  const called = await callsFromNow(place.host);
  await place.host.fault({ command: 'vdi-destroy', what: 'late' });
  const first = reaping();
  await called('vdi-destroy');
  const second = reaping();
  await new Promise((resolve) => setTimeout(resolve, 300));
  await place.host.release();
  expect([(await first).leftOvers.length, (await second).leftOvers.length]).toEqual([1, 0]);
  assertClean(place.host);
});
