/** What a device holds: the guard `content`, devices that share bytes, and devices that cannot be read. */

import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { attached, isOld, MIB, mapped, sha256, volume } from './devices.mjs';
import { patchy, qemu } from './images.mjs';
import { run, vdistream } from './programs.mjs';
import { test } from './runner.mjs';
import { toolstack } from './toolstack.mjs';

const SIZE = 28 * MIB;
const EIO = 5;

/** LVM looks for physical volumes on logical volumes only if a setting says so. @param {string} command @param {...string} args */
const lvm = (command, ...args) => void run(command, '--config', 'devices { scan_lvs=1 }', '-qq', '--yes', ...args);

/**
 * @param {import('./devices.mjs').Device} device @param {string} content
 */
async function isRefused({ path, size }, content) {
  const before = sha256({ path, size }, size);
  const { status, error } = await vdistream(['write', patchy.path, path]);
  assert.deepEqual([status, error.code, error.guard, error.message], [3, 'TARGET_CONTENT', 'content', `${path} holds ${content}`]);
  assert.equal(sha256({ path, size }, size), before);
}

/** @param {import('./devices.mjs').Device} device */
async function isWrittenByForce(device) {
  const { status, error } = await vdistream(['write', patchy.path, device.path, '--force=content', '--verify']);
  assert.deepEqual([status, error], [0, {}]);
  assert.equal(sha256(device, patchy.size), patchy.sha256);
}

for (const sector of [512, 4096]) {
  test(`an LVM physical volume on sectors of ${sector} bytes that no machine here has active is refused, and written if forced`, async (t) => {
    const beneath = volume(t, { size: SIZE, sector });
    lvm('pvcreate', beneath.path);
    lvm('vgcreate', '--physicalextentsize', '1m', 'foreign', beneath.path);
    lvm('lvcreate', '--size', '4m', '--zero', 'n', '--name', 'disk', 'foreign');
    lvm('vgchange', '--activate', 'n', 'foreign');
    await isRefused(beneath, 'an LVM physical volume, label at byte 512');
    await isWrittenByForce(beneath);
  });
}

test('a file system on a device that Xen attached is refused, and written if forced', async (t) => {
  const beneath = volume(t, { size: SIZE });
  run('mke2fs', '-q', '-t', 'ext4', beneath.path);
  const target = attached(t, beneath);
  await isRefused(target, 'an ext2, ext3 or ext4 file system, superblock at byte 1024');
  await isWrittenByForce(target);
});

/** @param {import('./devices.mjs').Device} source @param {import('./devices.mjs').Device} target */
async function isUsage(source, target) {
  const { status, error } = await vdistream(['write', source.path, target.path]);
  assert.deepEqual([status, error.code], [2, 'USAGE'], JSON.stringify(error));
  assert.match(String(error.message), /shares bytes/);
}

test('source and target are one through device-mapper, either way', async (t) => {
  const beneath = volume(t, { size: SIZE });
  run('dd', `if=${qemu.path}`, `of=${beneath.path}`, 'bs=1M', 'conv=fsync', 'status=none');
  const map = mapped(t, 'map', [[SIZE, `linear ${beneath.path} 0`]]);
  const second = mapped(t, 'second', [[SIZE, `linear ${map.path} 0`]]);
  const before = sha256(beneath, SIZE);
  await isUsage(map, beneath);
  await isUsage(beneath, map);
  await isUsage(second, beneath);
  await isUsage(beneath, second);
  // The disk of the volume group.
  await isUsage(beneath, { path: '/dev/vdb', size: SIZE });
  assert.equal(sha256(beneath, SIZE), before);
});

for (const [where, from] of /** @type {const} */ ([
  ['first', 0],
  ['last', SIZE - MIB],
])) {
  test(`a device whose ${where} MiB cannot be read is an error, and nothing is written`, async (t) => {
    const beneath = volume(t, { size: SIZE });
    const { path } = mapped(t, 'unreadable', [
      ...(from > 0 ? [/** @type {const} */ ([from, `linear ${beneath.path} 0`])] : []),
      [MIB, 'error'],
      ...(from === 0 ? [/** @type {const} */ ([SIZE - MIB, `linear ${beneath.path} ${MIB / 512}`])] : []),
    ]);
    const { status, error } = await vdistream(['write', patchy.path, path]);
    assert.deepEqual([status, error.code, error.errno, error.device], [1, 'TARGET_READ', EIO, path], JSON.stringify(error));
    assert(typeof error.offset === 'number' && error.offset >= from && error.offset < from + MIB, `offset ${error.offset}`);
    assert(isOld(beneath));
  });
}

test('a device that the toolstack has attached is written, whatever its last owner left', async (t) => {
  const host = await toolstack(t);
  const sr = await host.sr('lvm', 512);
  const uuid = host.run('vdi-create', `sr-uuid=${sr}`, 'name-label=raw', `virtual-size=${SIZE}`, 'sm-config:type=raw');
  const vbd = host.run('vbd-create', `vm-uuid=${host.dom0}`, `vdi-uuid=${uuid}`, 'device=autodetect');
  host.run('vbd-plug', `uuid=${vbd}`);
  t.after(() => host.run('vbd-unplug', `uuid=${vbd}`));
  const [vdi] = host.state().vdi;
  const disk = { path: vdi?.disk.path ?? '', size: SIZE };
  const node = vdi?.disk.plugged?.node ?? '';
  const { status, error } = await vdistream(['import', patchy.path, '--device', node, '--xe', host.xe, '--verify']);
  assert.deepEqual([status, error], [0, {}]);
  assert.match(basename(node), /^xvd/);
  assert.equal(sha256(disk, patchy.size), patchy.sha256);
});
