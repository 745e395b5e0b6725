/** Import: VDIs created by the stand-in toolstack, on real volumes, plugged by Xen. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { bytesOf, isOld, isZero, MIB, sha256 } from './devices.mjs';
import { patchy } from './images.mjs';
import { isWriting, until, vdistream } from './programs.mjs';
import { test } from './runner.mjs';
import { toolstack } from './toolstack.mjs';

/** @typedef {Awaited<ReturnType<typeof toolstack>>} Toolstack */

const VDI_SIZE = 24 * MIB;
const xvdDevices = () => readdirSync('/sys/class/block').filter((name) => name.startsWith('xvd'));

/**
 * Imports the image, checks the resulting state, and returns the VDI.
 * @param {Toolstack} host @param {readonly string[]} args
 */
async function imported(host, ...args) {
  const { status, result, error } = await vdistream(['import', patchy.path, ...args, '--xe', host.xe, '--verify']);
  assert.deepEqual([status, error], [0, {}]);
  const { vdi, vbd } = host.state();
  assert.deepEqual([vbd, xvdDevices()], [[], []]);
  assert.deepEqual(
    vdi.map(({ uuid, nameLabel, tags, virtualSize }) => ({ uuid, nameLabel, tags, virtualSize })),
    [{ uuid: result.vdi, nameLabel: 'patchy.vhd', tags: [], virtualSize: VDI_SIZE }],
  );
  const disk = { path: vdi[0]?.disk.path ?? '', size: VDI_SIZE };
  assert.equal(sha256(disk, patchy.size), patchy.sha256);
  assert(isZero(disk, patchy.size));
  return { uuid: String(result.vdi), target: result.target, disk };
}

for (const sector of [512, 4096]) {
  test(`an import to a VHD with sectors of ${sector} bytes goes through the xvd device, and leaves the container alone`, async (t) => {
    const host = await toolstack(t);
    const sr = await host.sr('lvm', sector);
    const { uuid, target, disk } = await imported(host, '--sr', sr);
    assert.equal(target, '/dev/xvda');
    const container = { path: disk.path.replace(/[^/]*$/, `VHD-${uuid}`), size: MIB };
    assert.equal(bytesOf(container, 0, 4096).toString('latin1', 0, 8), 'conectix');
    assert(isOld(container, 4096));
  });

  test(`an import to a raw volume with sectors of ${sector} bytes writes to the volume itself, and over all old data`, async (t) => {
    const host = await toolstack(t);
    const sr = await host.sr('lvm', sector);
    const { uuid, target } = await imported(host, '--sr', sr, '--raw-vdi');
    assert.equal(target, `/dev/sm/phy/${sr}/${uuid}`);
  });
}

/**
 * Starts an import that cannot finish, because half of the image is missing, and sends the signal while it writes.
 * @param {Toolstack} host @param {string} sr @param {'SIGINT' | 'SIGKILL'} signal
 */
function stopped(host, sr, signal) {
  const image = readFileSync(patchy.path);
  const others = xvdDevices();
  return vdistream(['import', '-', '--sr', sr, '--xe', host.xe], {
    input: 'pipe',
    async during(child) {
      child.stdin?.on('error', () => {}); // the import ends before it has read everything
      child.stdin?.write(image.subarray(0, image.length / 2));
      await until('it writes', () => isWriting(child.pid));
      assert.equal(xvdDevices().length, others.length + 1);
      child.kill(signal);
    },
  });
}

test('Ctrl-C during an import leaves neither VDI nor VBD nor device', async (t) => {
  const host = await toolstack(t);
  const { status, error } = await stopped(host, await host.sr('ext', 512), 'SIGINT');
  assert.deepEqual([status, error.code, error.left], [130, 'CANCELLED', undefined]);
  const { vdi, vbd } = host.state();
  assert.deepEqual([vdi, vbd, xvdDevices()], [[], [], []]);
});

test('what kill -9 leaves of an import is removed by reap, and a VDI that somebody else has plugged stays', async (t) => {
  const host = await toolstack(t);
  const sr = await host.sr('ext', 512);
  const foreign = host.run('vdi-create', `sr-uuid=${sr}`, 'name-label=foreign', `virtual-size=${4 * MIB}`);
  const plug = host.run('vbd-create', `vm-uuid=${host.dom0}`, `vdi-uuid=${foreign}`, 'device=autodetect');
  host.run('vbd-plug', `uuid=${plug}`);

  assert.equal((await stopped(host, sr, 'SIGKILL')).status, null);
  assert.deepEqual([host.state().vdi.length, host.state().vbd.length, xvdDevices()], [2, 2, ['xvda', 'xvdb']]);
  const { status, result, error } = await vdistream(['reap', '--xe', host.xe]);
  assert.deepEqual([status, error, result.removed, result.failed], [0, {}, 1, 0]);
  const { vdi, vbd } = host.state();
  assert.deepEqual([vdi.map(({ uuid }) => uuid), vbd.map(({ uuid }) => uuid), xvdDevices()], [[foreign], [plug], ['xvda']]);
});
