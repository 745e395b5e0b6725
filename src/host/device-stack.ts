/**
 * Device stack: which block devices and files lie under a path, so that two paths with the same bytes are recognised.
 *
 *   /sys/dev/block/MAJOR:MINOR/partition           a partition: the folder above it is its disk
 *                              slaves/NAME/dev     what device-mapper and md are made of
 *                              loop/backing_file   the file or device of a loop device
 *
 * See Documentation/ABI/testing/sysfs-block and sysfs-dev in the kernel.
 */

import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileId } from './file-id.ts';
import { kernelText, namesIn } from './kernel-files.ts';

interface DeviceStack {
  /** The layer itself: `MAJOR:MINOR` of a device, `file DEV:INODE` of a file. A loop device is the file that backs it. */
  readonly top: string;
  /** It, and everything under it. */
  readonly layers: ReadonlySet<string>;
}

/** Of an existing file or block device; undefined for anything else. */
export async function deviceStack(found: Stats): Promise<DeviceStack | undefined> {
  if (found.isFile()) return { top: fileId(found), layers: new Set([fileId(found)]) };
  if (!found.isBlockDevice()) return undefined;
  const layers = new Set<string>();
  await descend(deviceId(found.rdev), layers);
  const [device = '', below] = layers;
  return { top: below?.startsWith('file ') ? below : device, layers };
}

/** Whether writing to one changes the other. */
export const shareBytes = (a: DeviceStack, b: DeviceStack): boolean => a.layers.has(b.top) || b.layers.has(a.top);

/** `MAJOR:MINOR` of the number that stat(2) reports (makedev(3)): 12 bits of the major number are above the low 8 of the minor one. */
export function deviceId(number: number): string {
  const major = Math.floor(number / 2 ** 8) % 2 ** 12;
  const minor = (number % 2 ** 8) + Math.floor(number / 2 ** 20) * 2 ** 8;
  return `${major}:${minor}`;
}

async function descend(device: string, layers: Set<string>): Promise<void> {
  if (device === '' || layers.has(device)) return;
  layers.add(device);
  const folder = sysFolder(device);
  const backing = await backingOf(folder);
  if (backing?.isBlockDevice()) await descend(deviceId(backing.rdev), layers);
  else if (backing !== undefined) layers.add(fileId(backing));
  if ((await kernelText(join(folder, 'partition'))) !== '') await descend(await kernelText(`${folder}/../dev`), layers);
  for (const name of await namesIn(join(folder, 'slaves'))) await descend(await kernelText(join(folder, 'slaves', name, 'dev')), layers);
}

/** The loop devices that use one of the layers, by name. */
export async function loopsOver(layers: ReadonlySet<string>): Promise<string[]> {
  const loops: string[] = [];
  for (const name of await namesIn('/sys/block')) {
    if (!name.startsWith('loop')) continue;
    const backing = await backingOf(`/sys/block/${name}`);
    if (backing === undefined) continue;
    if (layers.has(backing.isBlockDevice() ? deviceId(backing.rdev) : fileId(backing))) loops.push(`/dev/${name}`);
  }
  return loops;
}

/** `MAJOR:MINOR` of the partitions of a device. */
export async function partitionsOf(device: string): Promise<string[]> {
  const folder = sysFolder(device);
  const partitions: string[] = [];
  for (const name of await namesIn(folder)) {
    if ((await kernelText(join(folder, name, 'partition'))) !== '') partitions.push(await kernelText(join(folder, name, 'dev')));
  }
  return partitions;
}

const sysFolder = (device: string): string => `/sys/dev/block/${device}`;

/** The file under a loop device; undefined if there is none, or it has been deleted. */
async function backingOf(folder: string): Promise<Stats | undefined> {
  const path = await kernelText(join(folder, 'loop', 'backing_file'));
  return path === '' ? undefined : stat(path).catch(() => undefined);
}
