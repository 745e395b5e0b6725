/** Targets that are refused with exit status 3 before a byte is written; their contents are compared afterwards. */

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { attached, givenToGuest, isOld, MIB, mapped, volume } from './devices.mjs';
import { patchy } from './images.mjs';
import { run, vdistream } from './programs.mjs';
import { test } from './runner.mjs';

/** @param {string} path @param {string} code @param {string} guard */
async function refused(path, code, guard) {
  const { status, error } = await vdistream(['write', patchy.path, path]);
  assert.deepEqual([status, error.code, error.guard, error.device], [3, code, guard, path]);
}

test('the container of a VHD, a volume that SM has named so, is refused by any of its names', async (t) => {
  const container = volume(t, { size: 28 * MIB, name: 'VHD-6f6c6420-6461-4461-8a61-000000000001' });
  const { rdev } = statSync(container.path);
  const names = [
    container.path,
    // LVM doubles each dash within a name.
    `/dev/mapper/${container.path.slice('/dev/'.length).replaceAll('-', '--').replace('/', '-')}`,
    `/dev/dm-${rdev & 0xff}`,
  ];
  for (const name of names) {
    assert.equal(statSync(name).rdev, rdev);
    await refused(name, 'TARGET_VHD', 'vhd');
  }
  assert(isOld(container));
});

test('a mounted volume is refused', async (t) => {
  const target = volume(t, { size: 28 * MIB });
  run('mke2fs', '-q', '-t', 'ext4', target.path);
  run('mount', target.path, '/mnt');
  t.after(() => run('umount', '/mnt'));
  await refused(target.path, 'TARGET_BUSY', 'busy');
});

test('a volume with another device-mapper device on top is refused', async (t) => {
  const target = volume(t, { size: 28 * MIB });
  mapped(t, 'on-top', [[target.size, `linear ${target.path} 0`]]);
  await refused(target.path, 'TARGET_BUSY', 'busy');
  assert(isOld(target));
});

test('a volume that is the disk of a guest is refused', async (t) => {
  const served = volume(t, { size: 28 * MIB });
  givenToGuest(t, served);
  await refused(served.path, 'TARGET_BUSY', 'busy');
  assert(isOld(served));
});

test('a volume, and the xvd device in front of it, that are smaller than the disk are refused', async (t) => {
  const beneath = volume(t, { size: 20 * MIB });
  await refused(beneath.path, 'TARGET_SMALL', 'size');
  const target = attached(t, beneath);
  await refused(target.path, 'TARGET_SMALL', 'size');
  assert(isOld(beneath));
});
