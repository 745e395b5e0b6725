/**
 * Storage on loop devices over files, one per disk.
 *
 *   <place>/<vdi>                 the disk as a guest sees it, whether VHD or raw
 *   <place>/<vdi>.vhd             represents the container of a VHD: begins like one, but has no data of the disk
 *   /dev/sm/backend/<sr>/<vdi>    node of the device, with the numbers of the loop device
 *   /dev/sm/phy/<sr>/<vdi>        on LVM, symlink: to the device for a raw disk, to the container for a VHD
 */

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errnoOf } from './errno.mjs';
import { openersOf, pause } from './openers.mjs';
import { isLvm, isRaw, showsOldData } from './sizes.mjs';
import { Busy, Missing } from './storage.mjs';

/** Data that a previous owner left on the volume. */
const OLD_DATA = 0xaa;

/** @typedef {import('./world.mjs').Sr} Sr */
/** @typedef {import('./world.mjs').Vdi} Vdi */

/** @param {string} folder @returns {import('./storage.mjs').Storage} */
export const loopStorage = (folder) => ({
  create(sr, { uuid, virtualSize, smConfig }) {
    const place = sr.place || join(folder, 'disks');
    mkdirSync(place, { recursive: true });
    const path = join(place, uuid);
    writeFileSync(path, '', { flag: 'wx' });
    truncateSync(path, virtualSize);
    if (isLvm(sr) && !isRaw(sr, smConfig)) writeFileSync(`${path}.vhd`, 'conectix'.padEnd(512, '\0'));
    return { path, filled: 0 };
  },

  resize(_, { virtualSize, disk }) {
    truncateSync(disk.path, virtualSize);
  },

  destroy(_, { disk }) {
    for (const path of [disk.path, `${disk.path}.vhd`]) rmSync(path, { force: true });
  },

  plug(sr, vdi, readOnly) {
    const { path } = vdi.disk;
    if (!existsSync(path)) throw new Missing(path);
    if (showsOldData(sr, vdi.smConfig)) fill(sr, vdi);
    const options = ['--find', '--show', '--sector-size', String(sr.sector), ...(readOnly ? ['--read-only'] : [])];
    const node = run('losetup', [...options, path]).trim();
    return { device: sr.device === 'kernel' ? basename(node) : join('sm/backend', sr.uuid, vdi.uuid), node, readOnly };
  },

  show(sr, { uuid, smConfig, disk }) {
    if (disk.plugged === undefined) return;
    const { device, node } = disk.plugged;
    if (sr.device === 'backend') {
      const numbers = readFileSync(`/sys/class/block/${basename(node)}/dev`, 'latin1')
        .trim()
        .split(':');
      inFolderOf(join('/dev', device), (path) => run('mknod', ['--mode=0600', path, 'b', ...numbers]));
    }
    if (isLvm(sr)) {
      const volume = isRaw(sr, smConfig) ? node : `${disk.path}.vhd`;
      inFolderOf(join('/dev/sm/phy', sr.uuid, uuid), (path) => symlinkSync(volume, path));
    }
  },

  unplug(sr, { uuid, disk }) {
    if (disk.plugged === undefined) return;
    const openers = openersOf(disk.plugged.node);
    if (openers.length > 0) throw new Busy(`Device in use; refusing to close (${openers.join(', ')})`);
    detach(disk.plugged.node);
    for (const kind of NODES) removeNode(join('/dev/sm', kind, sr.uuid, uuid));
  },

  sweep(srs) {
    for (const place of [folder, ...srs.map((sr) => sr.place)]) {
      for (const node of loopsIn(place)) detach(node);
    }
    for (const { uuid } of srs) {
      for (const kind of NODES) {
        for (const name of nodesIn(kind, uuid)) removeNode(join('/dev/sm', kind, uuid, name));
      }
    }
  },
});

/** @type {readonly ['backend', 'phy']} */
export const NODES = ['backend', 'phy'];

/** Names of the nodes of an SR's disks. @param {'backend' | 'phy'} kind @param {string} sr */
export function nodesIn(kind, sr) {
  const folder = join('/dev/sm', kind, sr);
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** Loop devices over files below a folder, including deleted files. @param {string} folder */
export function loopsIn(folder) {
  if (folder === '') return [];
  const names = readdirSync('/sys/class/block').filter((name) => /^loop\d+$/.test(name));
  return names.filter((name) => backingOf(name).startsWith(`${folder}/`)).map((name) => `/dev/${name}`);
}

/** A process that has just opened the device delays the detach; waits up to half a second for that. @param {string} node */
function detach(node) {
  const backing = backingOf(basename(node));
  run('losetup', ['--detach', node]);
  for (let looks = 0; looks < 50 && backing !== '' && backingOf(basename(node)) === backing; looks++) pause();
}

/** @param {string} name */
function backingOf(name) {
  try {
    return readFileSync(`/sys/class/block/${name}/loop/backing_file`, 'utf8');
  } catch {
    return ''; // not in use
  }
}

/** Fills the new part of a disk with old data. @param {Sr} sr @param {Vdi} vdi */
function fill({ signatures }, { virtualSize, disk }) {
  const chunk = Buffer.alloc(2 ** 20, OLD_DATA);
  const file = openSync(disk.path, 'r+');
  const isNew = disk.filled === 0;
  while (disk.filled < virtualSize) {
    disk.filled += writeSync(file, chunk, 0, Math.min(chunk.length, virtualSize - disk.filled), disk.filled);
  }
  if (signatures && isNew) for (const [offset, magic] of SIGNATURES) writeSync(file, magic, offset, 'latin1');
  closeSync(file);
}

/** Of previous owners that had a VHD, an LVM physical volume or an ext file system on it. @type {readonly (readonly [number, string])[]} */
export const SIGNATURES = [
  [0, 'conectix'],
  [512, 'LABELONE'],
  [536, 'LVM2 001'],
  [1080, '\x53\xef'],
];

/** @param {string} program @param {readonly string[]} args */
const run = (program, args) => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

/** Retries, because other hosts may be removing the parent folders while those are empty. @param {string} path @param {(path: string) => void} make */
function inFolderOf(path, make) {
  for (let tries = 1; ; tries++) {
    try {
      mkdirSync(dirname(path), { recursive: true });
      return make(path);
    } catch (error) {
      if (existsSync(dirname(path)) || tries === 10) throw error;
    }
  }
}

/** Also removes parent folders that become empty. @param {string} path */
function removeNode(path) {
  rmSync(path, { force: true });
  for (let folder = dirname(path); folder !== '/dev'; folder = dirname(folder)) {
    try {
      rmdirSync(folder);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') continue;
      return; // not empty
    }
  }
}
