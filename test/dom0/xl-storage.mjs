/**
 * Disks in a real Dom0: LVM volumes, plugged as xenopsd does it, with `xl block-attach` to Dom0 itself. The device is thus blkfront on
 * blkback on the volume.
 *
 * As a storage of the stand-in toolstack (test/stand-in/), it names devices xvdX, like a pool with force_loopback_vbd:
 *
 *   VG/LV-<vdi>     a raw disk on LVM, full of old data, in which the last owner was an LVM physical volume
 *   VG/disk-<vdi>   any other disk as a guest sees it, zeroed; on a real host, tapdisk provides that of a VHD
 *   VG/VHD-<vdi>    represents the container of a VHD on LVM: begins like one, but has no data of the disk
 *   /dev/sm/phy/<sr>/<vdi>   on LVM, symlink to the volume of a raw disk, or to the container
 */

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, rmSync, statSync, symlinkSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { openersOf } from '../stand-in/openers.mjs';
import { isLvm, isRaw, showsOldData } from '../stand-in/sizes.mjs';
import { Busy, Missing } from '../stand-in/storage.mjs';
import { run, waitFor } from './guest/programs.mjs';

/** Data that a previous owner left on a volume. */
export const OLD_DATA = 0xaa;
const MIB = 1 << 20;

/** The guest's volume group, created by init.sh, on disks with this sector size. @param {number} sector */
const groupOf = (sector) => `VG_XenStorage-${String(sector).padStart(8, '0')}-0000-4000-8000-000000000000`;
const SECTORS = [512, 4096];

/**
 * A volume full of old data, as SM hands it to its next owner, or of zeros.
 * @param {{ name: string, size: number, sector?: number, fill?: number }} options  `size` in bytes, a multiple of 1 MiB
 */
export function create({ name, size, sector = 512, fill = OLD_DATA }) {
  const group = groupOf(sector);
  run('lvcreate', '-qq', '--yes', '--wipesignatures', 'n', '--zero', 'n', '--size', `${size}b`, '--name', name, group);
  const path = `/dev/${group}/${name}`;
  const file = openSync(path, 'r+');
  const chunk = Buffer.alloc(MIB, fill);
  for (let at = 0; at < size; at += MIB) writeSync(file, chunk, 0, MIB, at);
  fsyncSync(file);
  closeSync(file);
  return { path, size };
}

/** Puts the label of an LVM physical volume into old data (LVM2, lib/label/label.h). @param {string} path */
function label(path) {
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.from('LABELONE'), 0, 8, 512);
  writeSync(file, Buffer.from('LVM2 001'), 0, 8, 536);
  fsyncSync(file);
  closeSync(file);
}

/** @param {string} path */
export function destroy(path) {
  run('lvremove', '-qq', '--yes', path.slice('/dev/'.length));
}

/** A disk in xl's syntax. @param {string} path @param {string} name @param {'ro' | 'rw'} access */
export const diskOf = (path, name, access) => `format=raw,vdev=${name},access=${access},script=vdistream,target=${path}`;

/**
 * Attaches a block device to Dom0, waits for the node of the new device and for its queue in sysfs, which the kernel adds later, and returns
 * its path.
 * @param {string} path @param {boolean} [readOnly]
 */
export function plug(path, readOnly = false) {
  const name = [...'abcdefghijklmnop'].map((letter) => `xvd${letter}`).find((candidate) => !existsSync(`/sys/class/block/${candidate}`));
  run('xl', 'block-attach', '0', diskOf(path, String(name), readOnly ? 'ro' : 'rw'));
  const device = `/dev/${name}`;
  const isThere = () =>
    existsSync(device) && statSync(device).isBlockDevice() && existsSync(`/sys/class/block/${name}/queue/logical_block_size`);
  waitFor(`${device} exists`, isThere);
  return device;
}

/** Returns when the device is gone. @param {string} device */
export function unplug(device) {
  run('xl', 'block-detach', '0', basename(device));
  waitFor(`${device} is gone`, () => !existsSync(`/sys/class/block/${basename(device)}`) && !existsSync(device));
}

/** @param {string} sr @param {string} vdi */
const linkOf = (sr, vdi) => join('/dev/sm/phy', sr, vdi);

/** @param {number} sector @param {string} uuid */
const containerOf = (sector, uuid) => `/dev/${groupOf(sector)}/VHD-${uuid}`;

/** @returns {import('../stand-in/storage.mjs').Storage} */
export const xlStorage = () => ({
  create(sr, { uuid, virtualSize, smConfig }) {
    const { sector } = sr;
    const isOld = showsOldData(sr, smConfig);
    const { path } = create({ name: `${isOld ? 'LV' : 'disk'}-${uuid}`, size: virtualSize, sector, fill: isOld ? OLD_DATA : 0 });
    if (isOld) label(path);
    if (isLvm(sr) && !isRaw(sr, smConfig)) {
      const container = openSync(create({ name: `VHD-${uuid}`, size: MIB, sector }).path, 'r+');
      writeSync(container, 'conectix');
      fsyncSync(container);
      closeSync(container);
    }
    return { path, filled: virtualSize };
  },

  resize() {
    throw new Error('no import resizes a disk');
  },

  destroy(sr, { uuid, disk }) {
    for (const path of [disk.path, containerOf(sr.sector, uuid)]) if (existsSync(path)) destroy(path);
  },

  plug(_, { disk }, readOnly) {
    if (!existsSync(disk.path)) throw new Missing(disk.path);
    const node = plug(disk.path, readOnly);
    return { device: basename(node), node, readOnly };
  },

  show(sr, { uuid, smConfig, disk }) {
    if (!isLvm(sr)) return;
    const link = linkOf(sr.uuid, uuid);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(isRaw(sr, smConfig) ? disk.path : containerOf(sr.sector, uuid), link);
  },

  unplug(sr, { uuid, disk }) {
    if (disk.plugged === undefined) return;
    const { node } = disk.plugged;
    // xl would report the same error itself, but only after a timeout.
    const openers = openersOf(node);
    if (openers.length > 0) throw new Busy(`Device in use; refusing to close (${openers.join(', ')})`);
    unplug(node);
    rmSync(linkOf(sr.uuid, uuid), { force: true });
  },

  sweep() {
    for (const name of readdirSync('/sys/class/block').filter((name) => name.startsWith('xvd'))) unplug(`/dev/${name}`);
    for (const group of SECTORS.map(groupOf)) run('lvremove', '-qq', '--yes', group);
    rmSync('/dev/sm', { recursive: true, force: true });
  },
});
