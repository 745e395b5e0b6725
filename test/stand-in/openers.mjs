/** Who has a block device open. */

import { closeSync, constants, openSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { errnoOf } from './errno.mjs';

/**
 * Programs that look at every device there is, for a moment and not on anybody's behalf: `losetup --find` opens one that was free when
 * it asked. They are waited for. What opens the device for its own sake never has such a name.
 */
const PASSERS_BY = /^(losetup|blkid|lsblk|lvm|lv.*|vg.*|pv.*|\(?udev.*|systemd-udevd|multipath.*)$/;

/** Milliseconds between two looks, and for how many of them it is waited. */
const PAUSE = 10;
const LOOKS = 200;
const CLAIMED_LOOKS = 10;

/**
 * The processes that have it open, by whatever name they know it, or `kernel` if it is mounted or part of another device. Asking for
 * sole use is refused only while others have that, so the descriptors of all processes are looked at. Root sees them all.
 * @param {string} device
 */
export function openersOf(device) {
  const { rdev } = statSync(device);
  for (let looks = 1, claimed = 0; ; looks++) {
    const openers = pids()
      .filter((pid) => descriptorsOf(pid).some((path) => numberOf(path) === rdev))
      .map((pid) => ({ pid, name: nameOf(pid) }));
    const staying = openers.filter(({ name }) => !PASSERS_BY.test(name));
    if (staying.length > 0 || looks === LOOKS) return (staying.length > 0 ? staying : openers).map(({ pid, name }) => `${pid} ${name}`);
    if (openers.length === 0) {
      if (!isClaimed(device)) return [];
      // It may have been opened since the descriptors were looked at.
      if (++claimed === CLAIMED_LOOKS) return ['kernel'];
    }
    pause();
  }
}

/** The toolstack does one thing after the other, so all of it waits. */
export const pause = () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE);

const pids = () => readdirSync('/proc').filter((name) => /^\d+$/.test(name));

/** @param {string} pid */
const nameOf = (pid) => tolerant('', () => readFileSync(`/proc/${pid}/comm`, 'utf8').trim());

/** Those that may be of a device. @param {string} pid */
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

/** Processes and descriptors go while one looks at them. @template T @template {T} F @param {F} fallback @param {() => T} look */
function tolerant(fallback, look) {
  try {
    return look();
  } catch {
    return fallback;
  }
}
