/** What an import reaps before it begins. */

import { describe, expect } from 'vitest';
import { importImage } from '../../src/index.ts';
import { callsFromNow, commandLine, expectArrived, importing } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';
import { leftOver, place, plug } from './left-overs.ts';

const test = testWith('root', 'loop', 'g++');

describe('an import', () => {
  const imported = (sr = place.sr, options: object = {}) => importImage(place.image, { sr, name: 'image', xe: place.xe, ...options });

  test('first reaps its own SR, and no other', async () => {
    const ext = await place.host.sr('ext');
    await plug(await leftOver());
    const elsewhere = await leftOver({}, ext);
    const { vdi, warnings } = await imported();
    expect(warnings).toEqual([]);
    expectArrived(place, vdi, { vdis: [elsewhere] });
  });

  test('only warns of what it cannot reap, even with strict', async () => {
    const stuck = await leftOver();
    await place.host.fault({ command: 'vdi-destroy', what: { fail: ['SR_BACKEND_FAILURE_80', '', 'Failed', ''] } });
    const { vdi, warnings } = await imported(place.sr, { strict: true });
    expect(warnings).toEqual([{ code: 'REAP_LEFT', message: expect.stringContaining(`VDI ${stuck}: xe vdi-destroy: `) }]);
    expectArrived(place, vdi, { vdis: [stuck] });
  });

  test('only warns if it cannot look for left-overs', async () => {
    await place.host.fault({ command: 'vdi-list', what: 'die' });
    const { vdi, warnings } = await imported();
    expect(warnings).toEqual([{ code: 'REAP_LEFT', message: 'xe vdi-list: Lost connection to the server.' }]);
    expectArrived(place, vdi);
  });

  test('on the command line prints its warning on stderr, and succeeds', async () => {
    const stuck = await leftOver();
    await place.host.fault({ command: 'vdi-destroy', what: { fail: ['VDI_IN_USE', 'OpaqueRef:0', 'destroy'] } });
    const { status, stdout, stderr } = await commandLine(place, ['import', place.image, '--sr', place.sr, '--name', 'image']).ended;
    expect(status).toBe(0);
    expect(stderr).toMatch(new RegExp(`^vdistream: warning: VDI ${stuck}: xe vdi-destroy: .* \\(REAP_LEFT\\)$`, 'm'));
    expectArrived(place, stdout.trim(), { vdis: [stuck] });
  });

  test('leaves alone what another import on the same SR is creating meanwhile', async () => {
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
