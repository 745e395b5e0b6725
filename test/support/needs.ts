/** Tests that need more than Node say so here: where it is missing they are skipped with the reason, in CI they fail. */

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { test } from 'vitest';
import { addonIfAny } from '../../src/host/native.ts';

const found = (program: string): boolean =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** Root that may mount, which that of a container mostly may not: CAP_SYS_ADMIN is bit 21 (linux/capability.h). */
function isRoot(): boolean {
  if (process.getuid?.() !== 0) return false;
  const effective = /^CapEff:\s+([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return effective !== undefined && ((BigInt(`0x${effective}`) >> 21n) & 1n) === 1n;
}

let loops: boolean | undefined;

/** Whether a loop device can be had. Only having one tells: a container may have the nodes, but not the right. */
function hasLoops(): boolean {
  loops ??= isRoot() && found('losetup') && attaches();
  return loops;
}

function attaches(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'vdistream-loop-'));
  try {
    writeFileSync(join(folder, 'backing'), Buffer.alloc(4096));
    const { status, stdout } = spawnSync('losetup', ['--find', '--show', join(folder, 'backing')], { encoding: 'utf8' });
    return status === 0 && spawnSync('losetup', ['--detach', stdout.trim()]).status === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export type Need =
  | 'addon'
  | 'root'
  | 'loop'
  | 'corpus'
  | 'fuse'
  | 'qemu-img'
  | 'vhdimount'
  | '7z'
  | 'tar'
  | 'bsdtar'
  | 'python3'
  | 'zstd'
  | 'xz'
  | 'dmsetup'
  | 'lvm'
  | 'glance'
  | 'openssl'
  | 'zsh'
  | 'fish'
  | 'mandoc'
  | 'chromium'
  | 'g++'
  | 'ip'
  | 'libisal'
  | 'igzip_lib.h'
  | 'gcc'
  | keyof typeof PACKAGES;

/** Programs by the Debian package that has them. */
const PACKAGES = {
  'mkfs.ext4': 'e2fsprogs',
  fuse2fs: 'fuse2fs',
  'mount.exfat-fuse': 'exfat-fuse',
  'mkfs.xfs': 'xfsprogs',
  'mkfs.btrfs': 'btrfs-progs',
  'mkfs.fat': 'dosfstools',
  mkntfs: 'ntfs-3g',
  'mkfs.exfat': 'exfatprogs',
  'mkfs.f2fs': 'f2fs-tools',
  'mkfs.erofs': 'erofs-utils',
  'mkfs.gfs2': 'gfs2-utils',
  'mkfs.jfs': 'jfsutils',
  'mkfs.nilfs2': 'nilfs-tools',
  mkreiserfs: 'reiserfsprogs',
  mksquashfs: 'squashfs-tools',
  mkudffs: 'udftools',
  genisoimage: 'genisoimage',
  mkswap: 'util-linux',
  wipefs: 'util-linux',
  sfdisk: 'fdisk',
  cryptsetup: 'cryptsetup-bin',
  'make-bcache': 'bcache-tools',
  drbdmeta: 'drbd-utils',
  thin_restore: 'thin-provisioning-tools',
  pigz: 'pigz',
  igzip: 'isal',
  bgzip: 'tabix',
  objdump: 'binutils',
  'qemu-nbd': 'qemu-utils',
  nbdkit: 'nbdkit',
  bzip2: 'bzip2',
  lz4: 'lz4',
  pzstd: 'zstd',
  'aarch64-linux-gnu-g++': 'g++-aarch64-linux-gnu',
  'qemu-aarch64': 'qemu-user',
} as const;

const isProgram = (need: Need): need is keyof typeof PACKAGES => need in PACKAGES;

function missingProgram(need: keyof typeof PACKAGES): true | string {
  return found(need) || `${need} (package ${PACKAGES[need]})`;
}

/** True, or what is missing. */
const NEEDS: Readonly<Record<Exclude<Need, keyof typeof PACKAGES>, () => true | string>> = {
  root: () => isRoot() || 'root (with CAP_SYS_ADMIN)',
  loop: () => (addonIfAny() !== undefined && hasLoops()) || 'loop devices, and the addon to use them',
  corpus: () => existsSync(corpusIndex) || 'the corpus of disks by other programs (VDISTREAM_CORPUS, or ../shared/corpus)',
  fuse: () => existsSync('/dev/fuse') || '/dev/fuse',
  'qemu-img': () => found('qemu-img') || 'qemu-img (package qemu-utils)',
  vhdimount: () => found('vhdimount') || 'vhdimount (package libvhdi-utils)',
  '7z': () => found('7z') || '7z (package p7zip-full)',
  tar: () => (found('tar') && found('gzip')) || 'tar and gzip',
  bsdtar: () => found('bsdtar') || 'bsdtar (package libarchive-tools)',
  python3: () => found('python3') || 'python3',
  zstd: () => found('zstd') || 'zstd',
  xz: () => found('xz') || 'xz (package xz-utils)',
  dmsetup: () => found('dmsetup') || 'dmsetup',
  lvm: () => found('lvcreate') || 'LVM (package lvm2)',
  glance: () => existsSync('/usr/lib/python3/dist-packages/glance') || 'Glance (package python3-glance)',
  openssl: () => found('openssl') || 'openssl',
  zsh: () => found('zsh') || 'zsh',
  fish: () => found('fish') || 'fish',
  mandoc: () => found('mandoc') || 'mandoc',
  chromium: () => existsSync('/usr/bin/chromium') || 'chromium',
  gcc: () => found('gcc') || 'gcc',
  addon: () => addonIfAny() !== undefined || 'the native addon',
  libisal: () => addonIfAny()?.loadIsal('libisal.so.2') === undefined || 'libisal.so.2 (package libisal2)',
  'igzip_lib.h': () => existsSync('/usr/include/isa-l/igzip_lib.h') || 'igzip_lib.h (package libisal-dev)',
  ip: () => found('ip') || 'ip (package iproute2)',
  'g++': () => found('g++') || 'g++',
};

export const corpusFolder = process.env.VDISTREAM_CORPUS ?? new URL('../../../shared/corpus', import.meta.url).pathname;

/** What is in it, with the answers. */
export const corpusIndex = join(corpusFolder, 'corpus.json');

const printed = new Set<string>();

/** `test`, or a skip that prints why, once a file. */
export function testWith(...needs: readonly Need[]): typeof test {
  const missing = needs
    .map((need) => (isProgram(need) ? missingProgram(need) : NEEDS[need]()))
    .filter((answer): answer is string => typeof answer === 'string');
  if (missing.length === 0) return test;
  const reason = `needs ${missing.join(' and ')}`;
  if (process.env.CI === 'true') throw new Error(`in CI nothing is skipped, but this file ${reason}`);
  if (!printed.has(reason)) console.warn(`skipped: ${reason}`);
  printed.add(reason);
  return test.skip as typeof test;
}
