/** Reap and exports: only the VBD that the record of an export describes is removed, and never a VDI. */

import { mkdirSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { exported, guestVdi, keptRecords, outputOf } from '../support/export-host.ts';
import { commandLine, imported } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';
import { ended, type Owner, place, reaping, records, startOf, tagOf, tokenOf, xe } from './left-overs.ts';

const test = testWith('root', 'loop', 'g++');

const AS_OURS = ['mode=RO', 'bootable=true'];

const newVbd = (vdi: string, vm = place.host.dom0, more: readonly string[] = AS_OURS): Promise<string> =>
  xe('vbd-create', `vm-uuid=${vm}`, `vdi-uuid=${vdi}`, 'device=autodetect', ...more);

interface DeadExport {
  readonly owner?: Owner;
  readonly before?: readonly string[];
  readonly vbd?: string;
  readonly sr?: string;
}

/** The record of a killed export. Resolves with its tag. */
async function recorded(vdi: string, { owner = {}, before = [], vbd, sr = place.sr }: DeadExport = {}): Promise<string> {
  const tag = tagOf(owner);
  await records().addExport(tokenOf(tag), { tag, sr, vdi, before });
  if (vbd !== undefined) await records().completeExport(tokenOf(tag), vbd);
  return tag;
}

/** What an export leaves that was killed while it read. */
async function leftVbd(vdi: string, more: DeadExport = {}): Promise<string> {
  const vbd = await newVbd(vdi);
  await recorded(vdi, { vbd, ...more });
  await xe('vbd-plug', `uuid=${vbd}`);
  return vbd;
}

const entry = (vdi: string, vbd: string | undefined) => ({ vbd, vdi, pid: ended.pid, owner: 'dead', removed: true, left: [] });

/** Removes everything, whatever is attached. */
async function sweep(): Promise<void> {
  for (const { uuid, currentlyAttached } of place.host.state().vbd) {
    if (currentlyAttached) await xe('vbd-unplug', `uuid=${uuid}`);
  }
  for (const { uuid } of place.host.state().vdi) await xe('vdi-destroy', `uuid=${uuid}`);
  for (const token of keptRecords(place)) await records().remove(token);
}

describe('the VBD of a killed export', () => {
  test.each(['plugged', 'not plugged', 'of an older boot'])('that is %s is removed, and its VDI stays', async (state) => {
    const vdi = await guestVdi(place);
    const vbd = await leftVbd(vdi, state === 'of an older boot' ? { owner: { boot: '00000000-0000-4000-8000-000000000000' } } : {});
    if (state === 'not plugged') await xe('vbd-unplug', `uuid=${vbd}`);
    expect(await reaping()).toEqual({ leftOvers: [], leftOverVbds: [entry(vdi, vbd)], removed: 1, failed: 0 });
    assertClean(place.host, { vdis: [vdi] });
    expect(keptRecords(place)).toEqual([]);
    await sweep();
  });

  test('is removed even if the record lacks its uuid', async () => {
    const vdi = await guestVdi(place);
    await recorded(vdi);
    const vbd = await newVbd(vdi);
    expect((await reaping()).leftOverVbds).toEqual([entry(vdi, vbd)]);
    assertClean(place.host, { vdis: [vdi] });
    await sweep();
  });

  test('is only listed in a dry run', async () => {
    const vdi = await guestVdi(place);
    const vbd = await leftVbd(vdi);
    const before = place.host.state();
    expect((await reaping({ dryRun: true })).leftOverVbds).toEqual([{ ...entry(vdi, vbd), removed: false }]);
    expect(place.host.state()).toEqual(before);
    const { stdout } = await commandLine(place, ['reap', '--dry-run']).ended;
    expect(stdout).toBe(`VBD ${vbd} of VDI ${vdi}  a left-over: would be removed\n`);
    expect((await commandLine(place, ['reap']).ended).stdout).toBe(`VBD ${vbd} of VDI ${vdi}  removed\n`);
    await sweep();
  });

  test('stays while the export runs', async () => {
    const vdi = await guestVdi(place);
    const vbd = await leftVbd(vdi, { owner: { pid: process.pid, start: startOf(process.pid) } });
    expect((await reaping()).leftOverVbds).toEqual([{ ...entry(vdi, vbd), pid: process.pid, owner: 'running', removed: false }]);
    const { stdout } = await commandLine(place, ['reap']).ended;
    expect(stdout).toBe(`VBD ${vbd} of VDI ${vdi}  left alone: its export is still running (pid ${process.pid})\n`);
    await sweep();
  });

  test('is removed by an import to the SR of the VDI, and by the next export of the VDI, but by no other', async () => {
    const [vdi, other] = [await guestVdi(place), await guestVdi(place)];
    const vbd = await leftVbd(vdi);
    const ext = await place.host.sr('ext');
    mkdirSync(dirname(outputOf(place)));
    expect(await exported(place, other)).toEqual({ warnings: [] });
    expect((await imported({ ...place, sr: ext })).error).toBeUndefined();
    expect(place.host.state().vbd.map(({ uuid }) => uuid)).toEqual([vbd]);
    expect((await imported(place)).error).toBeUndefined();
    expect(place.host.state().vbd).toEqual([]);
    await leftVbd(vdi);
    expect(await exported(place, vdi, { force: ['content'] })).toEqual({ warnings: [] });
    expect(place.host.state().vbd).toEqual([]);
    await sweep();
  });
});

describe('a VBD that does not fit the record', () => {
  const unproven = (vdi: string, vbd: string | undefined, doubt: unknown) => ({
    ...entry(vdi, vbd),
    owner: 'unproven',
    removed: false,
    doubt,
  });

  test.each([
    ['is not read-only', { mode: 'RW' }],
    ['is in another VM', { vm: 'guest' }],
    ['is of another VDI', { vdi: 'other' }],
  ] as const)('because it %s is listed and kept', async (_, change) => {
    const [vdi, other] = [await guestVdi(place), await guestVdi(place)];
    const vbd = await newVbd(vdi);
    await recorded(vdi, { vbd });
    const fields = { ...change, ...('vm' in change && { vm: place.host.guest }), ...('vdi' in change && { vdi: other }) };
    await place.host.change('vbd', vbd, fields);
    const before = place.host.state();
    const doubt = `it is not a read-only VBD of VDI ${vdi} in this Dom0, as its record says`;
    expect((await reaping()).leftOverVbds).toEqual([unproven(vdi, vbd, doubt)]);
    const { stdout } = await commandLine(place, ['reap']).ended;
    expect(stdout).toBe(`VBD ${vbd} of VDI ${vdi}  left alone: nothing proves that an export created it: ${doubt}\n`);
    expect(place.host.state()).toEqual(before);
    await sweep();
  });

  test('because it was there before the export is listed and kept', async () => {
    const vdi = await guestVdi(place);
    const vbd = await leftVbd(vdi);
    await recorded(vdi, { vbd, before: [vbd] });
    for (const [token, { before }] of await records().exports()) if (before.length === 0) await records().remove(token);
    expect((await reaping()).leftOverVbds).toEqual([unproven(vdi, vbd, 'the VDI had it before the export')]);
    expect(place.host.state().vbd.map(({ uuid }) => uuid)).toEqual([vbd]);
    await sweep();
  });

  test('that lacks a uuid is kept if it was there before, or is plugged, labelled, or not as an export creates it', async () => {
    const vdi = await guestVdi(place);
    const old = await newVbd(vdi);
    await recorded(vdi, { before: [old] });
    const plugged = await newVbd(vdi);
    await xe('vbd-plug', `uuid=${plugged}`);
    const labelled = await newVbd(vdi);
    await xe('vbd-param-set', `uuid=${labelled}`, 'other-config:task_id=OpaqueRef:1');
    await newVbd(vdi, place.host.dom0, ['mode=RO']);
    await newVbd(vdi, place.host.dom0, ['mode=RW', 'bootable=true']);
    await newVbd(vdi, place.host.guest);
    const before = place.host.state();
    expect(await reaping()).toMatchObject({ leftOverVbds: [], removed: 0, failed: 0 });
    expect(place.host.state()).toEqual(before);
    await sweep();
  });

  test('that lacks a uuid is kept if it could be another one, or belongs to another record', async () => {
    const vdi = await guestVdi(place);
    await recorded(vdi);
    const two = [await newVbd(vdi), await newVbd(vdi)];
    const before = place.host.state();
    expect((await reaping()).leftOverVbds).toEqual([unproven(vdi, undefined, expect.stringContaining(two.join(', ')))]);
    expect(place.host.state()).toEqual(before);
    // With a second record, each may have one.
    await recorded(vdi);
    expect((await reaping()).removed).toBe(2);
    assertClean(place.host, { vdis: [vdi] });
    await sweep();
  });
});

describe('the token of an export', () => {
  test('is no authority to destroy a VDI that has it as a tag, not even the exported one', async () => {
    const [vdi, other] = [await guestVdi(place), await guestVdi(place)];
    const vbd = await newVbd(vdi);
    const tag = await recorded(vdi, { vbd });
    for (const uuid of [vdi, other]) await xe('vdi-param-add', `uuid=${uuid}`, 'param-name=tags', `param-key=${tag}`);
    const { leftOvers, removed } = await reaping();
    expect(leftOvers.map((leftOver) => [leftOver.owner, leftOver.doubt])).toEqual([
      ['unproven', 'this host has no record of such an import'],
      ['unproven', 'this host has no record of such an import'],
    ]);
    expect(removed).toBe(1);
    assertClean(place.host, { vdis: [vdi, other] });
    await sweep();
  });
});

describe('the record of an export', () => {
  const age = (): void => {
    const twoDaysAgo = Date.now() / 1000 - 2 * 86_400;
    for (const token of keptRecords(place)) utimesSync(join(place.xe.records ?? '', token), twoDaysAgo, twoDaysAgo);
  };

  test('without a VBD is removed after a day, and immediately if it had one', async () => {
    const vdi = await guestVdi(place);
    await recorded(vdi);
    await recorded(vdi, { vbd: '00000000-0000-4000-8000-000000000001' });
    expect((await reaping()).leftOverVbds).toEqual([]);
    expect(keptRecords(place).length).toBe(1);
    age();
    await reaping({ dryRun: true });
    expect(keptRecords(place).length).toBe(1);
    await reaping();
    expect(keptRecords(place)).toEqual([]);
    await sweep();
  });

  test('stays as long as its VBD, however old it is', async () => {
    const vdi = await guestVdi(place);
    const vbd = await leftVbd(vdi);
    age();
    await place.host.fault({ command: 'vbd-destroy', always: true, what: { fail: ['INTERNAL_ERROR', 'storage'] } });
    expect(await reaping()).toMatchObject({ failed: 1, leftOverVbds: [{ vbd, removed: false }] });
    expect(keptRecords(place).length).toBe(1);
    const { status, stdout, stderr } = await commandLine(place, ['reap', '--quiet']).ended;
    expect([status, stdout, stderr.startsWith(`VBD ${vbd} of VDI ${vdi}  could not be removed: VBD ${vbd}`)]).toEqual([1, '', true]);
    await place.host.noFaults();
    expect((await reaping()).leftOverVbds).toEqual([entry(vdi, vbd)]);
    await sweep();
  });

  test('of a VBD about which xapi does not answer stays, too', async () => {
    const vdi = await guestVdi(place);
    const vbd = await leftVbd(vdi);
    await place.host.fault({ command: 'vbd-list', always: true, what: 'die' });
    expect(await reaping()).toMatchObject({ failed: 1, leftOverVbds: [{ vbd, owner: 'dead', removed: false }] });
    await place.host.noFaults();
    expect((await reaping()).removed).toBe(1);
    await sweep();
  });
});
