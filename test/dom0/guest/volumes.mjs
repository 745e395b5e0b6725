/** Logical volumes: the path of raw VDIs on LVM, where vdistream writes to the volume itself. */

import assert from 'node:assert/strict';
import { isOld, MIB, sha256, spoil, volume } from './devices.mjs';
import { qemu } from './images.mjs';
import { vdistream } from './programs.mjs';
import { test } from './runner.mjs';

for (const sector of [512, 4096]) {
  test(`a logical volume with sectors of ${sector} bytes, full of old data, becomes the disk, and what follows it stays`, async (t) => {
    const target = volume(t, { size: 20 * MIB, sector });
    const { status, result, error } = await vdistream(['write', qemu.path, target.path]);
    assert.deepEqual([status, error], [0, {}]);
    assert.deepEqual([result.direct, result.virtualSize], [true, qemu.size]);
    assert.equal(sha256(target, qemu.size), qemu.sha256);
    assert(isOld(target, qemu.size));

    const verified = await vdistream(['verify', qemu.path, target.path]);
    assert.deepEqual([verified.status, verified.result.bytesCompared], [0, qemu.size]);
  });
}

test('a logical volume of which one byte is wrong does not pass for the disk', async (t) => {
  const target = volume(t, { size: qemu.size });
  assert.equal((await vdistream(['write', qemu.path, target.path])).status, 0);
  spoil(target, 9 * MIB + 5);
  const { status, error } = await vdistream(['verify', qemu.path, target.path]);
  assert.deepEqual([status, error.code, error.offset], [4, 'VERIFY_MISMATCH', 9 * MIB + 5]);
});
