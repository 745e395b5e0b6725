/** Openers: the processes that have a block device open. */

import { closeSync, constants, openSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { errnoOf } from './errno.mjs';

/**
 * Programs that briefly open any device: `losetup --find`, for one, opens a device that was free a moment ago. They are waited for. A
 * program under test never has such a name.
 */
const PROBERS = /^(losetup|blkid|lsblk|lvm|lv.*|vg.*|pv.*|\(?udev.*|systemd-udevd|multipath.*)$/;

/** Milliseconds between two checks, and how many checks to wait for. */
const PAUSE = 10;
const LOOKS = 200;
const CLAIMED_LOOKS = 10;

/**
 * The processes that have the device open under any name, or `kernel` if it is mounted or part of another device. O_EXCL fails only while
 * another opener has it exclusively, so this reads the descriptors of all processes, which root can see.
 * @param {string} device
 */
export function openersOf(device) {
  const { rdev } = statSync(device);
  for (let looks = 1, claimed = 0; ; looks++) {
    const openers = pids()
      .filter((pid) => descriptorsOf(pid).some((path) => numberOf(path) === rdev))
      .map((pid) => ({ pid, name: nameOf(pid) }));
    const staying = openers.filter(({ name }) => !PROBERS.test(name));
    if (staying.length > 0 || looks === LOOKS) return (staying.length > 0 ? staying : openers).map(({ pid, name }) => `${pid} ${name}`);
    if (openers.length === 0) {
      if (!isClaimed(device)) return [];
      // A process may have opened it since the descriptors were read.
      if (++claimed === CLAIMED_LOOKS) return ['kernel'];
    }
    pause();
  }
}

/** Blocks the whole toolstack, which does one thing at a time. */
export const pause = () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE);

const pids = () => readdirSync('/proc').filter((name) => /^\d+$/.test(name));

/** @param {string} pid */
const nameOf = (pid) => tolerant('', () => readFileSync(`/proc/${pid}/comm`, 'utf8').trim());

/** Those that may refer to a device. @param {string} pid */
function descriptorsOf(pid) {
  const folder = `/proc/${pid}/fd`;
  return tolerant([], () => readdirSync(folder))
    .map((name) => `${folder}/${name}`)
    .filter((path) => tolerant(false, () => readlinkSync(path).startsWith('/')));
}

/** @param {string} path */
const numberOf = (path) =>
  tolerant(undefined, () => {
    const found = statSync(path);
    return found.isBlockDevice() ? found.rdev : undefined;
  });

/** @param {string} device */
function isClaimed(device) {
  try {
    closeSync(openSync(device, constants.O_RDONLY | constants.O_EXCL | constants.O_NONBLOCK));
    return false;
  } catch (error) {
    if (errnoOf(error) === 'EBUSY') return true;
    throw error;
  }
}

/** Processes and descriptors may disappear while they are read. @template T @template {T} F @param {F} fallback @param {() => T} look */
function tolerant(fallback, look) {
  try {
    return look();
  } catch {
    return fallback;
  }
}
