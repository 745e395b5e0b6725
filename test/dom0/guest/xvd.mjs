/**
 * /dev/xvda: blkfront in Dom0 on blkback in Dom0 on a logical volume, the path of a VDI that xapi plugged with a loopback VBD. What was
 * written is checked on the volume beneath.
 */

import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { attached, isOld, MIB, sha256, volume } from './devices.mjs';
import { archive, full, patchy } from './images.mjs';
import { run, vdistream } from './programs.mjs';
import { test } from './runner.mjs';

/** @param {import('./devices.mjs').Device} device @param {string} name */
const queue = ({ path }, name) => Number(readFileSync(`/sys/block/${basename(path)}/queue/${name}`, 'utf8'));

for (const sector of [512, 4096]) {
  test(`an xvd device with sectors of ${sector} bytes becomes the disk, zeros written, and so does the volume beneath`, async (t) => {
    await becomesTheDisk(t, sector, ['--zero=write']);
  });

  test(`an xvd device with sectors of ${sector} bytes does not punch holes, and is zeroed by ranges instead`, async (t) => {
    const under = ['strace', '-f', '-qq', '--seccomp-bpf', '-e', 'trace=fallocate,ioctl', '-e', 'signal=none', '-o', '/tmp/calls'];
    await becomesTheDisk(t, sector, [], under);
    const calls = readFileSync('/tmp/calls', 'utf8');
    assert.match(calls, /PUNCH_HOLE.* = -1 EOPNOTSUPP/);
    assert.doesNotMatch(calls, /PUNCH_HOLE.* = 0\n/);
    assert.match(calls, /ZERO_RANGE.* = 0\n/);
    assert.doesNotMatch(calls, /ZERO_RANGE.* = -1|BLKZEROOUT/);
  });
}

/**
 * @param {import('./runner.mjs').Test} t @param {number} sector
 * @param {readonly string[]} options @param {readonly string[]} [under]
 */
async function becomesTheDisk(t, sector, options, under) {
  const beneath = volume(t, { size: 28 * MIB, sector });
  const target = attached(t, beneath);
  assert.equal(queue(target, 'logical_block_size'), sector);
  const { status, result, error } = await vdistream(['write', patchy.path, target.path, '--verify', ...options], under ? { under } : {});
  assert.deepEqual([status, error], [0, {}]);
  const { direct, verified, virtualSize, bytesSkipped } = result;
  assert.deepEqual([direct, verified, virtualSize, bytesSkipped], [true, true, patchy.size, 0]);
  assert.equal(sha256(beneath, patchy.size), patchy.sha256);
  assert(isOld(beneath, patchy.size));
}

test('a compressed archive from standard input becomes the disk on an xvd device', async (t) => {
  const beneath = volume(t, { size: 24 * MIB });
  const target = attached(t, beneath);
  const input = openSync(archive.path, 'r');
  const { status, result, error } = await vdistream(['write', '-', target.path, '--verify'], { input });
  closeSync(input);
  assert.deepEqual([status, error, result.member], [0, {}, 'patchy.vhd']);
  assert.equal(sha256(beneath, archive.size), archive.sha256);
});

test('a backend without indirect requests, 11 segments each, gets the same disk', async (t) => {
  // This kernel's backend offers them; a frontend loaded with 0 does not use them.
  run('modprobe', '-r', 'xen-blkfront');
  run('modprobe', 'xen-blkfront', 'max_indirect_segments=0');
  t.after(() => {
    run('modprobe', '-r', 'xen-blkfront');
    run('modprobe', 'xen-blkfront');
  });
  const beneath = volume(t, { size: full.size });
  const target = attached(t, beneath);
  assert.equal(queue(target, 'max_segments'), 11);
  const { status, error } = await vdistream(['write', full.path, target.path, '--verify']);
  assert.deepEqual([status, error], [0, {}]);
  assert.equal(sha256(beneath, full.size), full.sha256);
});
