/**
 * Device: the device that every trial of a run writes to, and its state before each trial. By default it is a loop device over a sparse
 * file, large enough for every image, and in memory if there is enough, so that no medium masks the cost of the programs themselves.
 */

import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, fsyncSync, mkdtempSync, openSync, readFileSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { stopTrial } from './trial.mjs';

const MiB = 2 ** 20;
const MEMORY = '/dev/shm';

/**
 * @typedef {object} Device
 * @property {string} path
 * @property {string} kind  for the reader of the results
 * @property {string} state  before a trial, for the reader of the results
 * @property {number} size  bytes
 * @property {(allocate: number) => void} reset  prepares it for the next trial: allocates the first `allocate` bytes and no others, if it
 *   is a loop device; removes the VHD that a pipeline leaves at its start, which vdistream would refuse to overwrite
 * @property {() => void} close  idempotent, and synchronous, because it also runs while the process exits
 */

/** @param {{ dir: string, size: number, room: number }} options  `room`: bytes that trials will allocate @returns {Device} */
export function loopDevice({ dir, size, room }) {
  const inMemory = hasRoom(room);
  const backing = join(inMemory ? MEMORY : dir, `vdistream-bench-${process.pid}.img`);
  execFileSync('truncate', ['-s', String(size), backing]);
  let path = '';
  let closed = false;
  let filled = 0;

  function close() {
    if (closed) return;
    closed = true;
    // Detaches later if a process that is being killed still has it open.
    if (path) execFileSync('losetup', ['--detach', path]);
    rmSync(backing, { force: true });
  }

  try {
    // Without direct I/O, the page cache of the backing file would hide the medium.
    const direct = inMemory ? [] : ['--direct-io=on'];
    path = run('losetup', ['--find', '--show', ...direct, backing]);
  } catch (error) {
    close();
    throw error;
  }
  return {
    path,
    kind: `a loop device over a file in ${inMemory ? 'memory (tmpfs)' : 'the folder of --dir, with direct I/O'}`,
    state: 'allocated throughout, with old data in it (realistic, chain), or without an allocated block (the other images)',
    size,
    reset(allocate) {
      flush(path);
      if (allocate === 0) run('fallocate', ['--punch-hole', '--offset', '0', '--length', String(size), backing]);
      else if (filled < allocate) fill(backing, allocate);
      // Allocates again what the previous trial has punched.
      else run('fallocate', ['--length', String(allocate), backing]);
      filled = allocate;
      wipeFront(path);
    },
    close,
  };
}

/** The user's device; its content is lost. @param {string} path @returns {Device} */
export function givenDevice(path) {
  // O_EXCL without O_CREAT fails with EBUSY if the device is mounted or otherwise in use. dd would not check.
  closeSync(openSync(path, constants.O_RDWR | constants.O_EXCL));
  return {
    path,
    kind: `the device ${path}`,
    state: 'as the previous trial left it, except for the first MiB, which is zeroed',
    size: Number(run('blockdev', ['--getsize64', path])),
    reset() {
      flush(path);
      wipeFront(path);
    },
    close() {},
  };
}

/** Whether memory can hold `bytes` of a device and still cache the images. @param {number} bytes */
function hasRoom(bytes) {
  if (!existsSync(MEMORY)) return false;
  const { bavail, bsize } = statfsSync(MEMORY);
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  return bavail * bsize > bytes && Number(available?.[1] ?? 0) * 1024 > 2 * bytes;
}

/**
 * Fills the file with old data, so that a disk is only correct if its empty parts were zeroed, and the first trial does not pay for pages
 * that later ones find allocated. @param {string} path @param {number} bytes
 */
function fill(path, bytes) {
  const chunk = Buffer.alloc(4 * MiB, 0xaa);
  const file = openSync(path, 'r+');
  for (let at = 0; at < bytes; at += chunk.length) writeSync(file, chunk, 0, Math.min(chunk.length, bytes - at), at);
  fsyncSync(file);
  closeSync(file);
}

/**
 * Flushes what a pipeline without O_DIRECT left in the device's page cache, so that it does not affect the next trial.
 * @param {string} path
 */
function flush(path) {
  run('blockdev', ['--flushbufs', path]);
}

/**
 * A copy of a raw disk in a folder in memory, and a read-only loop device over it. All of them are gone when the process exits, once the trial
 * that it runs has ended.
 * @param {string} raw
 */
export function diskInMemory(raw) {
  const folder = mkdtempSync(join(MEMORY, 'vdistream-bench-'));
  const disk = join(folder, 'disk.raw');
  let device = '';
  process.on('exit', () => {
    stopTrial();
    if (device !== '') run('losetup', ['--detach', device]);
    rmSync(folder, { recursive: true, force: true });
  });
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => process.exit(130));
  run('cp', ['--sparse=always', raw, disk]);
  device = run('losetup', ['--find', '--show', '--read-only', disk]);
  return { folder, disk, device };
}

/** @param {string} path */
function wipeFront(path) {
  const device = openSync(path, 'r+');
  writeSync(device, Buffer.alloc(MiB), 0, MiB, 0);
  fsyncSync(device);
  closeSync(device);
  flush(path);
}

/** @param {string} program @param {string[]} args */
function run(program, args) {
  return execFileSync(program, args, { encoding: 'utf8' }).trim();
}
