/** Tests that need more than Node say so here: where it is missing they are skipped with the reason, in CI they fail. */

import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'vitest';

const found = (program: string): boolean =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

type Need =
  | 'root'
  | 'loop'
  | 'corpus'
  | 'fuse'
  | 'qemu-img'
  | 'vhdimount'
  | '7z'
  | 'zstd'
  | 'xz'
  | 'dmsetup'
  | 'lvm'
  | 'mkfs.ext4'
  | 'glance'
  | 'openssl'
  | 'zsh'
  | 'fish'
  | 'mandoc'
  | 'g++';

/** True, or what is missing. */
const NEEDS: Readonly<Record<Need, () => true | string>> = {
  root: () => process.getuid?.() === 0 || 'root',
  loop: () => (process.getuid?.() === 0 && existsSync('/dev/loop-control') && found('losetup')) || 'root and loop devices',
  corpus: () => existsSync(corpusFolder) || 'the corpus of disks by other programs (VDISTREAM_CORPUS, or ../shared/corpus)',
  fuse: () => existsSync('/dev/fuse') || '/dev/fuse',
  'qemu-img': () => found('qemu-img') || 'qemu-img (package qemu-utils)',
  vhdimount: () => found('vhdimount') || 'vhdimount (package libvhdi-utils)',
  '7z': () => found('7z') || '7z (package p7zip-full)',
  zstd: () => found('zstd') || 'zstd',
  xz: () => found('xz') || 'xz (package xz-utils)',
  dmsetup: () => found('dmsetup') || 'dmsetup',
  lvm: () => found('lvcreate') || 'LVM (package lvm2)',
  glance: () => existsSync('/usr/lib/python3/dist-packages/glance') || 'Glance (package python3-glance)',
  openssl: () => found('openssl') || 'openssl',
  zsh: () => found('zsh') || 'zsh',
  fish: () => found('fish') || 'fish',
  mandoc: () => found('mandoc') || 'mandoc',
  'g++': () => found('g++') || 'g++',
  'mkfs.ext4': () => found('mkfs.ext4') || 'mkfs.ext4 (package e2fsprogs)',
};

export const corpusFolder = process.env.VDISTREAM_CORPUS ?? new URL('../../../shared/corpus', import.meta.url).pathname;

/** `test`, or a skip that prints why. */
export function testWith(...needs: readonly Need[]): typeof test {
  const missing = needs.map((need) => NEEDS[need]()).filter((answer): answer is string => typeof answer === 'string');
  if (missing.length === 0) return test;
  const reason = `needs ${missing.join(' and ')}`;
  if (process.env.CI === 'true') throw new Error(`in CI nothing is skipped, but this file ${reason}`);
  console.warn(`skipped: ${reason}`);
  return test.skip as typeof test;
}
