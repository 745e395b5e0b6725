/** Export: from a logical volume, from /dev/xvda, and of VDIs that Xen plugs. The image is written to another volume, and dd reads both. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { attached, MIB, sha256, volume } from './devices.mjs';
import { patchy, qemu } from './images.mjs';
import { until, vdistream } from './programs.mjs';
import { test } from './runner.mjs';
import { toolstack } from './toolstack.mjs';

/** @typedef {import('./devices.mjs').Device} Device */

const OUT = '/tmp/exported.vhd';
const xvdDevices = () => readdirSync('/sys/class/block').filter((name) => name.startsWith('xvd'));

/** @param {import('./runner.mjs').Test} t @param {number} size @param {number} [sector] */
const copyOf = (t, size, sector = 512) => volume(t, { size, sector, name: 'LV-6f6c6420-6461-4461-8a61-000000000001' });

/**
 * Exports a disk, and writes the image to another volume, which is then the same.
 * @param {import('./runner.mjs').Test} t @param {Device} disk @param {readonly string[]} args
 */
async function comesBack(t, { path, size }, ...args) {
  t.after(() => rmSync(OUT, { force: true }));
  const { status, result, error } = await vdistream(['export', path, '-o', OUT, '--verify', ...args]);
  assert.deepEqual([status, error, result.verified], [0, {}, true]);
  const copy = copyOf(t, size);
  assert.equal((await vdistream(['write', OUT, copy.path])).status, 0);
  assert.equal(sha256(copy, size), sha256({ path, size }, size));
}

for (const sector of [512, 4096]) {
  test(`an export from a logical volume with sectors of ${sector} bytes has all its bytes`, async (t) => {
    const source = volume(t, { size: 20 * MIB, sector });
    // A disk with zeros in it, and old data after it.
    assert.equal((await vdistream(['write', qemu.path, source.path, '--zero=write'])).status, 0);
    await comesBack(t, source);
  });

  test(`an export from /dev/xvda with sectors of ${sector} bytes has all its bytes`, async (t) => {
    const source = attached(t, volume(t, { size: 24 * MIB, sector }));
    assert.equal(source.path, '/dev/xvda');
    assert.equal((await vdistream(['write', patchy.path, source.path, '--zero=write'])).status, 0);
    await comesBack(t, source, '--format=fixed-vhd');
    rmSync(OUT);
  });
}

/** A VDI with the disk of an image. @param {Awaited<ReturnType<typeof toolstack>>} host */
async function imported(host) {
  const { result } = await vdistream(['import', patchy.path, '--sr', await host.sr('lvm', 512), '--xe', host.xe]);
  return String(result.vdi);
}

test('an export of a VDI goes through a read-only xvd device, which is gone afterwards', async (t) => {
  const host = await toolstack(t);
  const vdi = await imported(host);
  t.after(() => rmSync(OUT, { force: true }));
  const { status, result, error } = await vdistream(['export', `vdi:${vdi}`, '-o', OUT, '--xe', host.xe, '--verify']);
  assert.deepEqual([status, error, result.verified], [0, {}, true]);
  assert.deepEqual([host.state().vbd, xvdDevices()], [[], []]);
  const copy = copyOf(t, 24 * MIB);
  assert.equal((await vdistream(['write', OUT, copy.path])).status, 0);
  assert.equal(sha256(copy, patchy.size), patchy.sha256);
});

test('what kill -9 leaves of an export is removed by reap, and the VDI stays', async (t) => {
  const host = await toolstack(t);
  const vdi = await imported(host);
  const { status } = await vdistream(['export', `vdi:${vdi}`, '-o', OUT, '--xe', host.xe], {
    async during(child) {
      await until('the device is there', () => xvdDevices().length === 1);
      child.kill('SIGKILL');
    },
  });
  assert.deepEqual([status, existsSync(OUT)], [null, false]);
  // The toolstack continues for clients that are gone.
  await until('the VBD is plugged', () => host.state().vbd.some(({ currentlyAttached }) => currentlyAttached));
  const reaped = await vdistream(['reap', '--xe', host.xe]);
  assert.deepEqual([reaped.status, reaped.error, reaped.result.removed, reaped.result.failed], [0, {}, 1, 0]);
  const { vdi: vdis, vbd } = host.state();
  assert.deepEqual([vdis.map(({ uuid }) => uuid), vbd, xvdDevices()], [[vdi], [], []]);
});
