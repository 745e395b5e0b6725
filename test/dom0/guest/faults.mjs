/** Storage that fails: device-mapper with errors at a chosen offset, volumes without enough space, directly and through Xen. */

import assert from 'node:assert/strict';
import { attached, MIB, mapped, volume } from './devices.mjs';
import { full } from './images.mjs';
import { run, vdistream } from './programs.mjs';
import { test } from './runner.mjs';

const EIO = 5;
const ENOSPC = 28;

/** dm-flakey: up for 0 s, then failing writes for 1 s, repeated. */
const failing = (/** @type {string} */ path, /** @type {number} */ from) => `flakey ${path} ${from / 512} 0 1 1 error_writes`;

/**
 * @param {string} path
 * @param {{ code: string, errno: number, from?: number, to?: number }} expected  the offset is in [from, to)
 */
async function fails(path, { code, errno, from = 0, to = full.size }) {
  const { status, error } = await vdistream(['write', full.path, path]);
  assert.deepEqual([status, error.code, error.errno, error.device], [1, code, errno, path], JSON.stringify(error));
  const { offset } = error;
  assert(typeof offset === 'number' && offset >= from && offset < to, `offset ${offset}`);
}

test('a bad range in the middle of a device is an error at that place', async (t) => {
  const beneath = volume(t, { size: full.size });
  const { path } = mapped(t, 'bad', [
    [8 * MIB, `linear ${beneath.path} 0`],
    [2 * MIB, 'error'],
    [6 * MIB, `linear ${beneath.path} ${(10 * MIB) / 512}`],
  ]);
  await fails(path, { code: 'TARGET_WRITE', errno: EIO, from: 8 * MIB, to: 10 * MIB });
});

test('a bad range beneath the backend is an error at that place of the xvd device', async (t) => {
  const beneath = volume(t, { size: full.size });
  const bad = mapped(t, 'bad', [
    [8 * MIB, `linear ${beneath.path} 0`],
    [8 * MIB, failing(beneath.path, 8 * MIB)],
  ]);
  const { path } = attached(t, bad);
  await fails(path, { code: 'TARGET_WRITE', errno: EIO, from: 8 * MIB });
});

test('a device that takes all data, but cannot bring it to rest, is an error of the sync', async (t) => {
  const beneath = volume(t, { size: full.size + 4 * MIB });
  // Data only goes to the part without errors; a flush goes to every target.
  const { path } = mapped(t, 'restless', [
    [full.size, `linear ${beneath.path} 0`],
    [4 * MIB, failing(beneath.path, full.size)],
  ]);
  const { status, error } = await vdistream(['write', full.path, path]);
  assert.deepEqual([status, error.code, error.errno, error.device], [1, 'TARGET_SYNC', EIO, path], JSON.stringify(error));
});

test('a thin volume whose pool is full has no space left; seen through Xen that is an I/O error', async (t) => {
  const data = volume(t, { size: 8 * MIB });
  const metadata = volume(t, { size: 4 * MIB, name: 'LV-6f6c6420-6461-4461-8a61-000000000002' });
  // Zeroed metadata makes the kernel create a new pool.
  run('dd', 'if=/dev/zero', `of=${metadata.path}`, 'bs=4096', 'count=1', 'conv=fsync', 'status=none');
  const pool = mapped(t, 'pool', [[data.size, `thin-pool ${metadata.path} ${data.path} 128 0 1 error_if_no_space`]]);
  run('dmsetup', 'message', 'pool', '0', 'create_thin 0');
  const thin = mapped(t, 'thin', [[full.size, `thin ${pool.path} 0`]]);
  await fails(thin.path, { code: 'TARGET_FULL', errno: ENOSPC });
  const { path } = attached(t, thin);
  await fails(path, { code: 'TARGET_WRITE', errno: EIO });
});

test('a snapshot that overflows is an I/O error', async (t) => {
  const origin = volume(t, { size: full.size });
  run('lvcreate', '-qq', '--yes', '--snapshot', '--size', '4m', '--name', 'small', origin.path);
  const path = origin.path.replace(/[^/]*$/, 'small');
  t.after(() => run('lvremove', '-qq', '--yes', path.slice('/dev/'.length)));
  await fails(path, { code: 'TARGET_WRITE', errno: EIO });
});
