/** Which devices are attached to this host's Dom0, according to the toolstack. */

import { statSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { createXeToolstack } from '../../src/xen/xe-toolstack.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { failure } from '../support/failure.ts';
import { toolstackOf } from '../support/imported.ts';
import { withLoop } from '../support/loop.ts';
import { testWith } from '../support/needs.ts';
import { createPlugs } from '../support/plugs.ts';

const test = testWith('root', 'loop', 'g++');
const MiB = 2 ** 20;

let host: Host;
beforeAll(async () => {
  host = await startHost();
});
afterAll(() => host?.stop());
const plugged = createPlugs(() => host);

const isAttached = (path: string, signal?: AbortSignal): Promise<boolean> =>
  createXeToolstack(toolstackOf(host)).isAttached(statSync(path).rdev, signal);

test.each(['backend', 'kernel'] as const)('the device of a plugged VBD is attached, by the name of the %s', async (device) => {
  const other = await plugged(await host.sr('nfs'));
  const { path } = await plugged(await host.sr('ext', { device }));
  for (const each of [path, other.path]) expect(await isAttached(each)).toBe(true);
  await withLoop({ size: MiB }, async (loop) => expect(await isAttached(loop.path)).toBe(false));
});

test('what counts is a VBD that is plugged now, for writing, in the Dom0 of this host', async () => {
  const { path, vbd } = await plugged(await host.sr('ext'));
  // Its device keeps its name when it is unplugged.
  await host.change('vbd', vbd, { currentlyAttached: false });
  expect(await isAttached(path)).toBe(false);
  await host.change('vbd', vbd, { currentlyAttached: true });
  for (const vm of [host.otherDom0, host.guest]) {
    await host.change('vbd', vbd, { vm });
    expect(await isAttached(path)).toBe(false);
  }
  await host.change('vbd', vbd, { vm: host.dom0, mode: 'RO' });
  expect(await isAttached(path)).toBe(false);
  await host.change('vbd', vbd, { mode: 'RW' });
  expect(await isAttached(path)).toBe(true);
});

test('a name that is no path below /dev is not looked up', async () => {
  const { vbd } = await plugged(await host.sr('ext'));
  await withLoop({ size: MiB }, async ({ path }) => {
    await host.change('vbd', vbd, { device: `../${path}` });
    expect(await isAttached(path)).toBe(false);
  });
});

/** As on a real host, where tapdisk has a device of its own on top of the volume. */
test('the volume of a raw VDI is attached too, that of a VHD is not', async () => {
  const sr = await host.sr('lvm');
  for (const [raw, config] of [
    [true, ['sm-config:type=raw']],
    [false, []],
  ] as const) {
    const { vbd, vdi } = await plugged(sr, ...config);
    await withLoop({ size: MiB }, async (volume) => {
      const link = join('/dev/sm/phy', sr, vdi);
      unlinkSync(link);
      symlinkSync(volume.path, link);
      expect(await isAttached(volume.path)).toBe(raw);
      await host.change('vbd', vbd, { mode: 'RO' });
      expect(await isAttached(volume.path)).toBe(false);
      await host.change('vbd', vbd, { mode: 'RW' });
    });
  }
});

test('an SR from before there were VHDs on LVM has raw VDIs only', async () => {
  const sr = await host.sr('lvmohba', { smConfig: {} });
  const { vdi } = await plugged(sr);
  await withLoop({ size: MiB }, async (volume) => {
    const link = join('/dev/sm/phy', sr, vdi);
    unlinkSync(link);
    symlinkSync(volume.path, link);
    expect(await isAttached(volume.path)).toBe(true);
  });
});

test('a toolstack that does not answer is an error, and a signal that has fired is obeyed', async () => {
  const { path } = await plugged(await host.sr('ext'));
  await host.fault({ command: 'vbd-list', what: 'die' });
  expect(await failure(isAttached(path))).toMatchObject({ code: 'XE_CONNECTION' });
  await host.noFaults();
  expect(await failure(isAttached(path, AbortSignal.abort()))).toMatchObject({ code: 'CANCELLED' });
});
