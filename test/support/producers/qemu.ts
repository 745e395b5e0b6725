/** VHDs written by qemu-img, of every size that it rounds and of those that it does not. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { stored } from '../chains.ts';
import { noise } from '../chunks.ts';
import type { Image } from './image.ts';
import { onlyVhd, someDisk } from './vhds.ts';

const KIB = 1 << 10;
const MIB = 1 << 20;
const GIB = 1 << 30;

interface Written {
  readonly subformat: 'fixed' | 'dynamic';
  /** Whether the size is kept (creator `qem2`), or rounded up to whole cylinders (creator `qemu`). */
  readonly forceSize: boolean;
  /** Bytes that were asked for. */
  readonly asked: number;
  /** Bytes that the disk then has; by default what was asked for. */
  readonly size?: number;
  /** Where the disk has data: 5000 bytes each. */
  readonly data?: readonly number[];
}

/** The data is no whole number of sectors, and stands at no multiple of them. */
const pieceAt = (offset: number): Uint8Array => noise(5000, offset + 1);

function written({ subformat, forceSize, asked, size = asked, data = [] }: Written): Image {
  const force = forceSize ? 'on' : 'off';
  let hash: string | undefined;
  return {
    file: `qemu-img/${subformat}-${asked}-force_size-${force}`,
    kind: 'vhd',
    type: subformat,
    virtualSize: size,
    blockSize: subformat === 'fixed' ? null : 2 * MIB,
    decoders: ['qemu-img', 'libvhdi'],
    expect: 'ok',
    get sha256raw() {
      if (size > 16 * GIB) return null;
      hash ??= sha256(size, data);
      return hash;
    },
    async store(folder) {
      const [raw, vhd] = [join(folder, 'qemu.raw'), join(folder, 'disk.vhd')];
      const file = openSync(raw, 'w');
      ftruncateSync(file, asked);
      for (const offset of data) writeSync(file, pieceAt(offset), 0, 5000, offset);
      closeSync(file);
      const options = `subformat=${subformat},force_size=${force}`;
      execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'vpc', '-o', options, raw, vhd], { stdio: 'pipe' });
      return [vhd];
    },
  };
}

function sha256(size: number, data: readonly number[]): string {
  const disk = Buffer.alloc(size);
  for (const offset of data) disk.set(pieceAt(offset), offset);
  return createHash('sha256').update(disk).digest('hex');
}

/** A VHD of tapdisk's that qemu has written to: it sets the whole bitmap of a block, and puts a new one before the footer. */
function rewritten(): Image {
  const places = [MIB, 9 * MIB];
  const disk = () => someDisk('dynamic', 2 * MIB, 6);
  return {
    file: 'qemu-img/written-over-tapdisk',
    kind: 'vhd',
    type: 'dynamic',
    virtualSize: disk().size * 512,
    blockSize: 2 * MIB,
    decoders: ['qemu-img', 'libvhdi'],
    expect: 'ok',
    get sha256raw() {
      const content = disk().content();
      for (const at of places) content.fill(0x5a, at, at + 64 * KIB);
      return createHash('sha256').update(content).digest('hex');
    },
    async store(folder) {
      const path = stored(folder, 'disk.vhd', onlyVhd(disk(), { seed: 8, batmap: true, gap: 7, spare: 300 }));
      const writes = places.flatMap((at) => ['-c', `write -P 0x5a ${at} 64k`]);
      const file = `driver=vpc,force_size_calc=current_size,file.driver=file,file.filename=${path}`;
      execFileSync('qemu-io', [...writes, '--image-opts', file], { stdio: 'pipe' });
      return [path];
    },
  };
}

/** Sizes after rounding are those of the geometry in the specification's appendix, as qemu-img 7.2 made them. */
export const qemuVhds = (): Image[] => [
  written({ subformat: 'fixed', forceSize: true, asked: 512 }),
  written({ subformat: 'fixed', forceSize: true, asked: 3 * MIB, data: [0, 70_001] }),
  written({ subformat: 'fixed', forceSize: true, asked: 10 * MIB, data: [0, 4 * MIB - 100, 10 * MIB - 5000] }),
  written({ subformat: 'fixed', forceSize: true, asked: 10 * MIB + 512, data: [1 * MIB, 10 * MIB - 4488] }),
  written({ subformat: 'fixed', forceSize: false, asked: 10 * MIB + 512, size: 10_514_432, data: [1 * MIB, 10 * MIB - 4488] }),
  written({ subformat: 'dynamic', forceSize: true, asked: 1024 }),
  written({ subformat: 'dynamic', forceSize: true, asked: 1 * MIB }),
  written({ subformat: 'dynamic', forceSize: false, asked: 1 * MIB, size: 1_079_296 }),
  written({ subformat: 'dynamic', forceSize: true, asked: 10 * MIB, data: [0, 4 * MIB - 100, 10 * MIB - 5000] }),
  written({ subformat: 'dynamic', forceSize: false, asked: 10 * MIB, size: 10_514_432, data: [0, 4 * MIB - 100, 10 * MIB - 5000] }),
  written({ subformat: 'dynamic', forceSize: true, asked: 10 * MIB + 512, data: [1 * MIB, 10 * MIB - 4488] }),
  written({ subformat: 'dynamic', forceSize: false, asked: 10 * MIB + 512, size: 10_514_432, data: [1 * MIB, 10 * MIB - 4488] }),
  written({ subformat: 'dynamic', forceSize: false, asked: 127 * GIB, size: 136_365_219_840, data: [0, 64 * GIB + 513] }),
  written({ subformat: 'dynamic', forceSize: true, asked: 2040 * GIB }),
  rewritten(),
];
