/** Signatures on disks made by other programs; wipefs and blkid say what they find, and wipefs what it leaves. */

import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { describeContent, findContent } from '../../src/disk/probe.ts';
import { testFolder } from '../support/folder.ts';
import { type Need, testWith } from '../support/needs.ts';
import { bytesOf, SIGNED_DISKS } from '../support/signed-disks.ts';
import { blkidOf, wipefsOf } from '../support/wipefs.ts';

async function contentOf(path: string): Promise<string | undefined> {
  const fd = openSync(path, 'r');
  try {
    const content = await findContent(statSync(path).size, async (offset, length) => {
      const bytes = new Uint8Array(length);
      return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
    });
    return content && describeContent(content);
  } finally {
    closeSync(fd);
  }
}

/** A new file of `size` bytes. */
function emptyDisk(size: number): string {
  const path = join(testFolder(), 'disk');
  writeFileSync(path, '');
  truncateSync(path, size);
  return path;
}

const MiB = 1024 * 1024;

interface Making {
  /** Runs in an empty folder, where $DISK is a sparse file. */
  readonly script: string;
  readonly needs: readonly Need[];
  readonly mib: number;
  readonly expected: string;
  /** What blkid calls it, and where wipefs finds the magic. */
  readonly type: string;
  readonly magicAt: number;
}

const made = (needs: Need | readonly Need[], mib: number, script: string, expected: string, type: string, magicAt: number): Making => ({
  script,
  needs: typeof needs === 'string' ? [needs] : needs,
  mib,
  expected,
  type,
  magicAt,
});

const EXT = 'an ext2, ext3 or ext4 file system, superblock at byte 1024';
const FAT = 'a FAT file system, boot sector at byte 0';
const LUKS = 'a LUKS container, header at byte 0';
const luksFormat = 'echo password | cryptsetup luksFormat -q --pbkdf-force-iterations 1000';
/** drbdmeta locks a file that only root may write. */
const DRBDMETA = ['root', 'drbdmeta'] as const;
const tree = 'mkdir tree; echo hello > tree/file; rm $DISK;';

const MAKINGS: readonly Making[] = [
  made('mkfs.ext4', 8, 'mkfs.ext2 -q -F $DISK', EXT, 'ext2', 0x438),
  made('mkfs.ext4', 8, 'mkfs.ext3 -q -F $DISK', EXT, 'ext3', 0x438),
  made('mkfs.ext4', 8, 'mkfs.ext4 -q -F $DISK', EXT, 'ext4', 0x438),
  made('mkfs.ext4', 32, 'mkfs.ext4 -q -F -b 65536 $DISK', EXT, 'ext4', 0x438),
  made('mkfs.ext4', 8, 'mke2fs -q -F -O journal_dev $DISK', EXT, 'jbd', 0x438),
  made('mkfs.xfs', 320, 'mkfs.xfs -q $DISK', 'an XFS file system, superblock at byte 0', 'xfs', 0),
  made('mkfs.btrfs', 128, 'mkfs.btrfs -q $DISK', 'a btrfs file system, superblock at byte 65536', 'btrfs', 65600),
  made('mkfs.fat', 1, 'mkfs.fat -F 12 $DISK', FAT, 'vfat', 0x36),
  made('mkfs.fat', 16, 'mkfs.fat -F 16 $DISK', FAT, 'vfat', 0x36),
  made('mkfs.fat', 40, 'mkfs.fat -F 32 $DISK', FAT, 'vfat', 0x52),
  made('mkfs.fat', 400, 'mkfs.fat -F 32 -S 4096 $DISK', FAT, 'vfat', 0x52),
  made('mkntfs', 8, 'mkntfs -q -F -f $DISK', 'an NTFS file system, boot sector at byte 0', 'ntfs', 3),
  made('mkfs.exfat', 8, 'mkfs.exfat $DISK', 'an exFAT file system, boot sector at byte 0', 'exfat', 3),
  made(
    'genisoimage',
    1,
    `${tree} genisoimage -quiet -o $DISK tree`,
    'an ISO 9660 file system, volume descriptor at byte 32768',
    'iso9660',
    32769,
  ),
  made('mkudffs', 8, 'mkudffs $DISK', 'a UDF file system, volume descriptor at byte 32768', 'udf', 32769),
  ...[4096, 8192, 16384, 32768, 65536].map((page) =>
    made('mkswap', 8, `mkswap -p ${page} $DISK`, `a swap area, signature at byte ${page - 10}`, 'swap', page - 10),
  ),
  made('mkfs.f2fs', 64, 'mkfs.f2fs -q $DISK', 'an F2FS file system, superblock at byte 1024', 'f2fs', 1024),
  made('mkfs.erofs', 1, `${tree} mkfs.erofs $DISK tree`, 'an EROFS file system, superblock at byte 1024', 'erofs', 1024),
  made('mksquashfs', 1, `${tree} mksquashfs tree $DISK -quiet`, 'a SquashFS file system, superblock at byte 0', 'squashfs', 0),
  made('mkfs.gfs2', 128, 'mkfs.gfs2 -q -O -p lock_nolock $DISK', 'a GFS2 file system, superblock at byte 65536', 'gfs2', 65536),
  made('mkfs.jfs', 20, 'mkfs.jfs -q $DISK', 'a JFS file system, superblock at byte 32768', 'jfs', 32768),
  made('mkreiserfs', 40, 'mkreiserfs -q -f -f $DISK', 'a ReiserFS file system, superblock at byte 65536', 'reiserfs', 65588),
  made('mkfs.nilfs2', 160, 'mkfs.nilfs2 -q $DISK', 'a NILFS2 file system, superblock at byte 1024', 'nilfs2', 1030),
  made('cryptsetup', 20, `${luksFormat} --type luks1 $DISK -`, LUKS, 'crypto_LUKS', 0),
  made('cryptsetup', 20, `${luksFormat} --type luks2 --pbkdf pbkdf2 $DISK -`, LUKS, 'crypto_LUKS', 0),
  made(
    'cryptsetup',
    20,
    `${luksFormat} --type luks2 --pbkdf pbkdf2 $DISK -; dd if=/dev/zero of=$DISK bs=4096 count=1 conv=notrunc`,
    'a LUKS container, secondary header at byte 16384',
    'crypto_LUKS',
    16384,
  ),
  made(
    'cryptsetup',
    8,
    'truncate -s 1M data; veritysetup format data $DISK',
    'a dm-verity hash device, superblock at byte 0',
    'DM_verity_hash',
    0,
  ),
  made('make-bcache', 8, 'make-bcache -B $DISK', 'a bcache device, superblock at byte 4096', 'bcache', 4120),
  made('make-bcache', 80, 'make-bcache -C $DISK', 'a bcache device, superblock at byte 4096', 'bcache', 4120),
  made(DRBDMETA, 8, 'drbdmeta --force 0 v08 $DISK internal create-md', 'a DRBD device, metadata at byte 8384512', 'drbd', 8384572),
  made(DRBDMETA, 8, 'drbdmeta --force 0 v09 $DISK internal create-md 1', 'a DRBD device, metadata at byte 8384512', 'drbd', 8384572),
  made(
    ['loop', 'lvm'],
    8,
    'L=$(losetup --find --show $DISK); pvcreate -q $L; R=$?; losetup --detach $L; exit $R',
    'an LVM physical volume, label at byte 512',
    'LVM2_member',
    536,
  ),
  made('sfdisk', 8, 'echo 2048,,83 | sfdisk -q -X dos $DISK', 'an MBR partition table, boot sector at byte 0', 'dos', 510),
  made('sfdisk', 8, 'echo 2048,,L | sfdisk -q -X gpt $DISK', 'a GPT partition table, header at byte 512', 'gpt', 512),
  made('sfdisk', 8, 'echo ,,L | sfdisk -q -X sun $DISK', 'a Sun disklabel, label at byte 0', 'sun', 508),
];

describe('as blkid and wipefs do, this finds what was made by', () => {
  for (const { needs, script, mib, expected, type, magicAt } of MAKINGS) {
    testWith('wipefs', ...needs)(script, async () => {
      const path = emptyDisk(mib * MiB);
      run(script, path);
      expect(await contentOf(path)).toBe(expected);
      expect(blkidOf(path)).toBe(type);
      expect(wipefsOf(path)).toContain(`${type}@${magicAt}`);
      // A disk that was wiped on purpose holds nothing.
      execFileSync('wipefs', ['--all', '--force', '--quiet', path]);
      expect(await contentOf(path)).toBeUndefined();
    });
  }
});

function run(script: string, path: string): void {
  const folder = testFolder();
  mkdirSync(join(folder, 'work'));
  execFileSync('bash', ['-ec', script], { cwd: join(folder, 'work'), env: { ...process.env, DISK: path }, stdio: 'pipe' });
}

const create = 'rm $DISK; qemu-img create -q -f';
const superblock = `<superblock uuid='' block_size='128' nr_cache_blocks='16' nr_blocks='16' current_era='1' policy='smq' hint_width='4'`;

describe('blkid and wipefs do not find what was made by', () => {
  for (const [need, script, expected] of [
    ['qemu-img', `${create} qcow2 $DISK 8M`, 'a qcow2 image, signature at byte 0'],
    ['qemu-img', `${create} qcow $DISK 8M`, 'a qcow image, signature at byte 0'],
    ['qemu-img', `${create} qed $DISK 8M`, 'a QED image, signature at byte 0'],
    ['qemu-img', `${create} vmdk $DISK 8M`, 'a VMDK image, signature at byte 0'],
    ['qemu-img', `${create} vmdk -o subformat=twoGbMaxExtentSparse $DISK 8M`, 'a VMDK descriptor, signature at byte 0'],
    ['qemu-img', `${create} vdi $DISK 8M`, 'a VDI (VirtualBox) image, signature at byte 64'],
    ['qemu-img', `${create} vhdx $DISK 8M`, 'a VHDX image, signature at byte 0'],
    ['qemu-img', `${create} parallels $DISK 8M`, 'a Parallels image, signature at byte 0'],
    ['qemu-img', `${create} vpc $DISK 8M`, 'a VHD, footer at byte 0'],
    ['qemu-img', `${create} vpc -o subformat=fixed,force_size=on $DISK 8M`, 'a VHD, footer at byte 8388608'],
    ['tar', 'gzip -c /etc/passwd > $DISK', 'gzip-compressed data, header at byte 0'],
    ['xz', 'xz -c /etc/passwd > $DISK', 'xz-compressed data, header at byte 0'],
    ['zstd', 'zstd -qc /etc/passwd > $DISK', 'zstd-compressed data, header at byte 0'],
    ['7z', '7z a -tbzip2 a.bz2 /etc/passwd; mv a.bz2 $DISK', 'bzip2-compressed data, header at byte 0'],
    ['7z', '7z a a.zip /etc/passwd; mv a.zip $DISK', 'a ZIP archive, signature at byte 0'],
    ['7z', '7z a a.7z /etc/passwd; mv a.7z $DISK', 'a 7z archive, signature at byte 0'],
    ['tar', 'tar cf $DISK /etc/passwd', 'a tar archive, header at byte 0'],
    [
      'thin_restore',
      restore('thin', "<superblock uuid='' time='0' transaction='0' data_block_size='128' nr_data_blocks='16'/>"),
      'the metadata of an LVM thin pool, superblock at byte 0',
    ],
    [
      'thin_restore',
      restore('cache', `${superblock}><mappings/><hints/></superblock>`),
      'the metadata of a dm-cache, superblock at byte 0',
    ],
    ['thin_restore', restore('era', `${superblock}><era_array/></superblock>`), 'the metadata of a dm-era, superblock at byte 0'],
  ] as const) {
    testWith('wipefs', need)(script, async () => {
      const path = emptyDisk(8 * MiB);
      run(script, path);
      expect(await contentOf(path)).toBe(expected);
      expect([blkidOf(path), ...wipefsOf(path)]).toEqual([undefined]);
    });
  }
});

/** Metadata from its description as XML. */
function restore(kind: string, xml: string): string {
  return `echo "${xml}" > xml; ${kind}_restore -i xml -o $DISK`;
}

testWith('wipefs', 'sfdisk')('a GPT for sectors of 4096 bytes is found, of which wipefs sees only the protective MBR', async () => {
  const path = emptyDisk(8 * MiB);
  run(`printf 'g\\nw\\n' | fdisk -b 4096 $DISK`, path);
  expect(await contentOf(path)).toBe('a GPT partition table, header at byte 4096');
  expect(wipefsOf(path)).toEqual(['PMBR@510']);
});

testWith('wipefs', 'sfdisk')('the backup of a GPT is found without a protective MBR, which blkid needs', async () => {
  const path = emptyDisk(8 * MiB);
  run('echo 2048,,L | sfdisk -q -X gpt $DISK; dd if=/dev/zero of=$DISK bs=4096 count=1 conv=notrunc', path);
  expect(await contentOf(path)).toBe('a GPT partition table, backup header at byte 8388096');
  expect(blkidOf(path)).toBeUndefined();
});

testWith('wipefs')('wipefs finds the disks that are made by hand here, at the same byte', () => {
  for (const disk of SIGNED_DISKS) {
    const { blkid, offset, size } = disk;
    if (blkid === undefined) continue;
    const path = emptyDisk(size);
    const fd = openSync(path, 'r+');
    for (const [at, bytes] of bytesOf(disk)) writeSync(fd, bytes, 0, bytes.length, at);
    closeSync(fd);
    expect(wipefsOf(path), disk.what).toContain(`${blkid.type}@${offset + blkid.magicAt}`);
  }
});
