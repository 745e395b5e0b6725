/** Block devices for tests, removed when the test ends, and their contents, read without any cache. */

import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { create, destroy, diskOf, OLD_DATA, plug, unplug } from '../xl-storage.mjs';
import { bytes, run } from './programs.mjs';

export const MIB = 1 << 20;

/** Unit of device-mapper's tables, in bytes. */
const SECTOR = 512;
/** @typedef {import('./runner.mjs').Test} Test */
/** @typedef {{ path: string, size: number }} Device */

/**
 * A logical volume full of old data.
 * @param {Test} t
 * @param {{ size: number, sector?: number, name?: string }} options  `size` in bytes, a multiple of 1 MiB
 */
export function volume(t, { size, sector = 512, name = 'LV-6f6c6420-6461-4461-8a61-000000000000' }) {
  const device = create({ name, size, sector });
  t.after(() => destroy(device.path));
  return device;
}

/** A new xvd device on top of another device, attached by Xen. @param {Test} t @param {Device} beneath @returns {Device} */
export function attached(t, beneath) {
  const path = plug(beneath.path);
  t.after(() => unplug(path));
  return { path, size: beneath.size };
}

/** Creates a guest that has the device as its disk. The guest is paused, which makes no difference to the device. @param {Test} t @param {Device} disk */
export function givenToGuest(t, { path }) {
  const file = '/tmp/guest.cfg';
  const disk = diskOf(path, 'xvda', 'rw');
  writeFileSync(file, `name="guest"\ntype="pv"\nkernel="/work/guest"\nmemory=16\ndisk=["${disk}"]\n`);
  run('xl', 'create', '-p', file);
  t.after(() => run('xl', 'destroy', 'guest'));
}

/**
 * A device-mapper device of consecutive targets, each with its length and the rest of its table line.
 * @param {Test} t @param {string} name @param {readonly (readonly [length: number, line: string])[]} targets  lengths in bytes
 * @returns {Device}
 */
export function mapped(t, name, targets) {
  let size = 0;
  const table = targets.map(([length, line]) => {
    const start = size;
    size += length;
    return `${start / SECTOR} ${length / SECTOR} ${line}`;
  });
  const file = `/tmp/${name}`;
  writeFileSync(file, `${table.join('\n')}\n`);
  run('dmsetup', 'create', name, file);
  t.after(() => run('dmsetup', 'remove', name));
  return { path: `/dev/mapper/${name}`, size };
}

/** Changes one byte. @param {Device} device @param {number} at */
export function spoil({ path }, at) {
  const fd = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  writeSync(fd, Buffer.from([~(byte[0] ?? 0) & 0xff]), 0, 1, at);
  fsyncSync(fd);
  closeSync(fd);
}

/**
 * Bytes as on the medium. `from` and `length` are multiples of 4096.
 * @param {Device} device @param {number} from @param {number} length
 */
export function bytesOf({ path }, from, length) {
  const range = [`skip=${from}`, `count=${length}`, 'iflag=direct,skip_bytes,count_bytes'];
  return bytes('dd', `if=${path}`, ...range, 'bs=1M', 'status=none');
}

/** Digest of the first `length` bytes. @param {Device} device @param {number} length */
export const sha256 = (device, length) =>
  createHash('sha256')
    .update(bytesOf(device, 0, length))
    .digest('hex');

/** Whether every byte in [from, to) is `byte`. @param {Device} device @param {number} byte @param {number} from @param {number} to */
const holds = (device, byte, from, to) => bytesOf(device, from, to - from).equals(Buffer.alloc(to - from, byte));

/** Whether the old data is still there. @param {Device} device @param {number} [from] @param {number} [to] */
export const isOld = (device, from = 0, to = device.size) => holds(device, OLD_DATA, from, to);

/** @param {Device} device @param {number} [from] @param {number} [to] */
export const isZero = (device, from = 0, to = device.size) => holds(device, 0, from, to);
