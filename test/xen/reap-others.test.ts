/** Reap: what it leaves alone. */

import { randomUUID } from 'node:crypto';
import { describe, expect, vi } from 'vitest';
import { newOwnerTag } from '../../src/xen/owner-tag.ts';
import { assertClean } from '../stand-in/clean.ts';
import { callsFromNow, commandLine, expectArrived, importing } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';
import { BOOT, disk, ended, leftOver, NOBODY, place, plug, reaping, removed, startOf, tagOf, xe } from './left-overs.ts';

const test = testWith('root', 'loop', 'g++');

describe('what is not a left-over:', () => {
  test('a running import in another process is left alone, and succeeds', async () => {
    const called = await callsFromNow(place.host);
    await place.host.fault({ command: 'vbd-list', what: 'late' });
    const { child, ended: done } = importing(place, place.image);
    await called('vbd-list');
    const [vdi = ''] = place.host.state().vdi.map(({ uuid }) => uuid);
    const running = { vdi, host: place.host.uuid, pid: child.pid, owner: 'running', removed: false, left: [] };
    expect(await reaping()).toEqual({ leftOvers: [running], leftOverVbds: [], removed: 0, failed: 0 });
    const { stdout, status } = await commandLine(place, ['reap']).ended;
    expect([status, stdout]).toEqual([0, `${vdi}  left alone: its import is still running (pid ${child.pid})\n`]);
    await place.host.release();
    expect(await done).toEqual({ vdi });
    expectArrived(place, vdi);
  });

  test('an import in the same process is left alone too', async () => {
    const vdi = await disk(tagOf({ pid: process.pid, start: startOf(process.pid) }));
    expect((await reaping()).leftOvers).toEqual([{ ...removed(vdi), pid: process.pid, owner: 'running', removed: false }]);
    assertClean(place.host, { vdis: [vdi] });
  });

  test('an import by another copy of this library in the same process, as in worker threads, is not treated as this copy’s own', async () => {
    vi.resetModules();
    const copy = await import('../../src/xen/owner-tag.ts');
    expect(copy.newOwnerTag).not.toBe(newOwnerTag);
    expect(copy.newOwnerTag(NOBODY).text).not.toBe(newOwnerTag(NOBODY).text);
  });

  test('a VDI of another host is reported and left alone, though its process cannot run here', async () => {
    const [, there = ''] = place.host.state().host.map(({ uuid }) => uuid);
    const shared = await place.host.sr('nfs', { shared: true });
    const vdi = await disk(tagOf({ host: there, boot: randomUUID() }), shared);
    const other = { ...removed(vdi), host: there, owner: 'other-host', removed: false };
    expect(await reaping()).toEqual({ leftOvers: [other], leftOverVbds: [], removed: 0, failed: 0 });
    const { stdout, status } = await commandLine(place, ['reap']).ended;
    expect([status, stdout]).toEqual([0, `${vdi}  left alone: its import ran on host ${there}\n`]);
    assertClean(place.host, { vdis: [vdi] });
  });

  test.each<[string, () => string, boolean]>([
    ['a guest has plugged', () => place.host.guest, true],
    ['a guest has a VBD of, though not plugged,', () => place.host.guest, false],
    ['the control domain of another host has plugged', () => place.host.otherDom0, true],
  ])('a VDI that %s is left alone and reported', async (_, vm, isPlugged) => {
    const vdi = await leftOver();
    const ours = await plug(vdi);
    // The storage manager lets only one host write to it.
    if (vm() === place.host.otherDom0) await xe('vbd-unplug', `uuid=${ours}`);
    const theirs = isPlugged ? await plug(vdi, vm()) : await xe('vbd-create', `vm-uuid=${vm()}`, `vdi-uuid=${vdi}`, 'device=0');
    const before = place.host.state();
    const left = [`VDI ${vdi}: attached to another VM by VBD ${theirs}`];
    expect(await reaping()).toEqual({ leftOvers: [{ ...removed(vdi), removed: false, left }], leftOverVbds: [], removed: 0, failed: 1 });
    expect(place.host.state()).toEqual(before);
    assertClean(place.host, { vdis: [vdi], vbds: [ours, theirs] });
  });

  test.each([
    ['without a number', (tag: string) => tag.slice(0, tag.lastIndexOf('.'))],
    ['with text after it', (tag: string) => `${tag}.1`],
    ['with text before it', (tag: string) => `old ${tag}`],
    ['in capitals', (tag: string) => tag.toUpperCase()],
    ['as a part of a longer one', (tag: string) => `a, ${tag}, b`],
    ['of no host', (tag: string) => tag.replace(place.host.uuid, 'localhost')],
    ['of no boot', (tag: string) => tag.replace(BOOT, 'boot')],
    ['of process 0', (tag: string) => tag.replace(`.${ended.pid}.`, '.0.')],
  ])('a VDI with a tag that resembles an owner tag, %s, is ignored', async (_, like) => {
    const vdi = await disk(like(tagOf()));
    expect(await reaping()).toEqual({ leftOvers: [], leftOverVbds: [], removed: 0, failed: 0 });
    assertClean(place.host, { vdis: [vdi] });
  });
});
