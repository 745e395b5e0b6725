/**
 * The signatures by which other programs find what a disk holds: images, volumes, partition tables, file systems, archives. Each place is
 * one that the owner of the format documents; libblkid (util-linux, libblkid/src/superblocks/ and partitions/) looks at the same ones,
 * unless a row says otherwise. Backups that `wipefs` leaves, such as later superblocks of ext4 and btrfs, are not looked for: a disk that
 * was wiped on purpose holds nothing.
 */

import { KiB, MiB, roundDown, SECTOR } from '../bytes.ts';
import { MAGIC } from './magic.ts';
import { OTHER_FORMATS } from './other-formats.ts';
import * as plausible from './plausible.ts';

export interface DiskSignature {
  /** What the disk holds: a noun phrase with its article. */
  readonly what: string;
  /** The structure that has the magic. */
  readonly part: string;
  /** The magic bytes as latin1 text, or several of which one must match. */
  readonly magic: string | readonly string[];
  /** Where the magic lies in the structure; 0 by default. */
  readonly within?: number;
  /** Where the structure may start on a disk of `size` bytes. Places outside the disk do no harm. */
  readonly at: readonly number[] | ((size: number) => readonly number[]);
  /** For a weak magic: whether the first 512 bytes of the structure, padded with zeros, can be what the magic says. */
  readonly plausible?: (part: DataView) => boolean;
}

const fromEnd =
  (...distances: readonly number[]) =>
  (size: number): number[] =>
    distances.map((distance) => size - distance);

const numbers = (count: number, step: number): number[] => Array.from({ length: count }, (_, index) => index * step);

/** Somebody may want back what was written to the wrong place, even if it is an error that a server sent. */
const TEXTS: readonly DiskSignature[] = [
  { what: 'an XML document', part: 'signature', magic: '<?xml', at: [0] },
  ...['<!DOCTYPE html', '<!doctype html', '<html', '<HTML'].map((magic) => ({ what: 'a web page', part: 'signature', magic, at: [0] })),
];

const IMAGES: readonly DiskSignature[] = [
  // A VHD has its footer at the end, unless the volume is larger; Virtual PC before 2004 omitted its last byte.
  { what: 'a VHD', part: 'footer', magic: MAGIC.vhd, at: (size) => [0, size - 512, size - 511] },
  ...TEXTS,
  ...OTHER_FORMATS.map(({ what, magic, at }) => ({ what, part: 'signature', magic, at: [at ?? 0] })),
];

/** Four labels of 256 KiB, two at each end; the second half of a label is a ring of uberblocks (OpenZFS, include/sys/vdev_impl.h). */
function uberblocks(size: number): number[] {
  const end = roundDown(size, 256 * KiB);
  const labels = [0, 256 * KiB, end - 512 * KiB, end - 256 * KiB];
  return labels.flatMap((label) => numbers(128, KiB).map((slot) => label + 128 * KiB + slot));
}

const DRBD_MAGIC = ['\x83\x74\x02\x6b', '\x83\x74\x02\x6c', '\x83\x74\x02\x6d'];

/** What holds a volume, in which there may be anything else: a RAID 1 shows a partition table, too. */
const VOLUMES: readonly DiskSignature[] = [
  // Kernel, drivers/md/md.c, super_90_load and super_1_load. 0.90 is in the byte order of its host.
  {
    what: 'a member of an md RAID',
    part: 'superblock',
    magic: ['\xfc\x4e\x2b\xa9', '\xa9\x2b\x4e\xfc'],
    at: (size) => [roundDown(size, 64 * KiB) - 64 * KiB],
  },
  {
    what: 'a member of an md RAID',
    part: 'superblock',
    magic: '\xfc\x4e\x2b\xa9\x01\0\0\0',
    at: (size) => [0, 4 * KiB, roundDown(size, 4 * KiB) - 16 * SECTOR],
  },
  // SNIA, Common RAID Disk Data Format 2.0, 4.2: the anchor header is in the last sector.
  { what: 'a member of a DDF RAID', part: 'anchor header', magic: ['\xde\x11\xde\x11', '\x11\xde\x11\xde'], at: fromEnd(SECTOR) },
  { what: 'a member of an Intel RAID', part: 'header', magic: 'Intel Raid ISM Cfg Sig. ', at: fromEnd(2 * SECTOR) },
  // Internal metadata of 8.3, 8.4 (also unclean) and 9: drbd-utils, user/shared/drbdmeta.c.
  { what: 'a DRBD device', part: 'metadata', magic: DRBD_MAGIC, within: 60, at: (size) => [roundDown(size, 4 * KiB) - 4 * KiB] },
  // LVM2, lib/label/label.h: LABEL_SCAN_SECTORS. The type, since `wipefs` leaves the "LABELONE" before it.
  { what: 'an LVM physical volume', part: 'label', magic: 'LVM2 001', within: 24, at: numbers(4, SECTOR) },
  // cryptsetup, lib/luks1/luks.h and lib/luks2/luks2.h: LUKS2_HDR2_OFFSETS.
  { what: 'a LUKS container', part: 'header', magic: 'LUKS\xba\xbe', at: [0] },
  { what: 'a LUKS container', part: 'secondary header', magic: 'SKUL\xba\xbe', at: numbers(9, 1).map((n) => 2 ** n * 16 * KiB) },
  { what: 'a BitLocker volume', part: 'boot sector', magic: '-FVE-FS-', within: 3, at: [0] },
  {
    what: 'a ZFS pool member',
    part: 'uberblock',
    magic: ['\x0c\xb1\xba\0\0\0\0\0', '\0\0\0\0\0\xba\xb1\x0c'],
    at: uberblocks,
  },
  // Kernel, drivers/md/bcache/bcache_ondisk.h; bcachefs_format.h of bcachefs-tools.
  {
    what: 'a bcache device',
    part: 'superblock',
    magic: '\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81',
    within: 24,
    at: [4 * KiB],
  },
  {
    what: 'a bcachefs file system',
    part: 'superblock',
    magic: '\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef',
    within: 24,
    at: [4 * KiB],
  },
  { what: 'a Ceph OSD (BlueStore)', part: 'label', magic: 'bluestore block device', at: [0] },
  { what: 'a Stratis pool member', part: 'header', magic: '!Stra0tis\x86\xff\x02^Arh', within: 4, at: [SECTOR, 9 * SECTOR] },
  { what: 'a VDO volume', part: 'geometry block', magic: 'dmvdo001', at: [0] },
  { what: 'a VMFS volume', part: 'volume header', magic: '\x0d\xd0\x01\xc0', at: [MiB] },
  { what: 'an Oracle ASM disk', part: 'label', magic: 'ORCLDISK', within: 32, at: [0] },
  // Kernel, drivers/md/: dm-thin-metadata.c, dm-cache-metadata.c and dm-era-target.c; 8 bytes, little-endian. Not in libblkid.
  { what: 'the metadata of an LVM thin pool', part: 'superblock', magic: '\xba\x52\x9c\x01\0\0\0\0', within: 32, at: [0] },
  { what: 'the metadata of a dm-cache', part: 'superblock', magic: '\x03\xc4\x18\0\0\0\0\0', within: 32, at: [0] },
  { what: 'the metadata of a dm-era', part: 'superblock', magic: '\x7b\x07\xc1\x7e\0\0\0\0', within: 32, at: [0] },
  { what: 'an LVM snapshot', part: 'header', magic: 'SnAp', at: [0], plausible: plausible.isSnapshot },
  { what: 'a dm-verity hash device', part: 'superblock', magic: 'verity\0\0', at: [0] },
  { what: 'a dm-integrity device', part: 'superblock', magic: 'integrt\0', at: [0] },
];

/** A CD image that boots from USB has partition tables, and a boot sector may look like one. */
const BEFORE_TABLES: readonly DiskSignature[] = [
  { what: 'an ISO 9660 file system', part: 'volume descriptor', magic: 'CD001', within: 1, at: [32 * KiB] },
  { what: 'an NTFS file system', part: 'boot sector', magic: 'NTFS    ', within: 3, at: [0] },
  { what: 'an exFAT file system', part: 'boot sector', magic: 'EXFAT   ', within: 3, at: [0] },
];

const FAT = { what: 'a FAT file system', part: 'boot sector', at: [0] };
const MBR = { what: 'an MBR partition table', part: 'boot sector', at: [0] };
const BOOT_SIGNATURE = { magic: '\x55\xaa', within: 510 };

/** The first header is at LBA 1 and the backup at the last one, for sectors of 512 and of 4096 bytes (UEFI 2.10, 5.3). */
const GPT = { what: 'a GPT partition table', magic: 'EFI PART' };

const TABLES: readonly DiskSignature[] = [
  { ...GPT, part: 'header', at: [SECTOR, 4 * KiB] },
  { ...FAT, magic: ['FAT12   ', 'FAT16   ', 'FAT     ', 'MSDOS'], within: 54, plausible: plausible.isFat },
  { ...FAT, magic: ['FAT32   ', 'MSWIN'], within: 82, plausible: plausible.isFat },
  { ...FAT, ...BOOT_SIGNATURE, plausible: plausible.isOldFat },
  { ...MBR, ...BOOT_SIGNATURE, plausible: plausible.hasPartitions },
  { what: 'a BSD disklabel', part: 'label', magic: '\x57\x45\x56\x82', at: [64, 128, SECTOR], plausible: plausible.isBsdLabel },
  { what: 'a Sun disklabel', part: 'label', magic: '\xda\xbe', within: 508, at: [0], plausible: plausible.isSunLabel },
  { what: 'an Apple partition map', part: 'map', magic: 'PM\0\0', at: [SECTOR], plausible: plausible.isAppleMap },
];

const NILFS_BACKUP = (size: number): number => roundDown(size, 4 * KiB) - 4 * KiB;
const UFS_MAGIC = ['\0\x01\x19\x54', '\x54\x19\x01\0', '\x19\x54\x01\x19', '\x19\x01\x54\x19'];
const SWAP_MAGIC = ['SWAPSPACE2', 'SWAP-SPACE', 'S1SUSPEND\0', 'S2SUSPEND\0', 'ULSUSPEND\0', 'LINHIB0001'];

/** The offset and the magic of a superblock, in that order, are from the file of the kernel or the specification that is named. */
const FILE_SYSTEMS: readonly DiskSignature[] = [
  // fs/ext4/ext4.h
  { what: 'an ext2, ext3 or ext4 file system', part: 'superblock', magic: '\x53\xef', within: 56, at: [KiB], plausible: plausible.isExt },
  // fs/xfs/libxfs/xfs_format.h
  { what: 'an XFS file system', part: 'superblock', magic: 'XFSB', at: [0], plausible: plausible.isXfs },
  // include/uapi/linux/btrfs_tree.h, fs/btrfs/disk-io.h
  { what: 'a btrfs file system', part: 'superblock', magic: '_BHRfS_M', within: 64, at: [64 * KiB] },
  // mm/swapfile.c and kernel/power/swap.c: the last 10 bytes of the first page, of any size
  { what: 'a swap area', part: 'signature', magic: SWAP_MAGIC, at: [4, 8, 16, 32, 64].map((page) => page * KiB - 10) },
  // include/linux/f2fs_fs.h, fs/erofs/erofs_fs.h
  { what: 'an F2FS file system', part: 'superblock', magic: '\x10\x20\xf5\xf2', at: [KiB] },
  { what: 'an EROFS file system', part: 'superblock', magic: '\xe2\xe1\xf5\xe0', at: [KiB] },
  { what: 'a SquashFS file system', part: 'superblock', magic: ['hsqs', 'sqsh'], at: [0], plausible: plausible.isSquashfs },
  // include/uapi/linux/gfs2_ondisk.h: big-endian, and the type of the block
  { what: 'a GFS2 file system', part: 'superblock', magic: '\x01\x16\x19\x70\0\0\0\x01', at: [64 * KiB] },
  // fs/ocfs2/ocfs2_fs.h: block 2
  { what: 'an OCFS2 file system', part: 'superblock', magic: 'OCFSV2', at: [KiB, 2 * KiB, 4 * KiB, 8 * KiB] },
  { what: 'a VMFS file system', part: 'header', magic: '\x5e\xf1\xab\x2f', at: [2 * MiB] },
  // fs/jfs/jfs_filsys.h; fs/reiserfs/reiserfs.h of Linux 6.12; reiser4 as in libblkid
  { what: 'a JFS file system', part: 'superblock', magic: 'JFS1', at: [32 * KiB] },
  {
    what: 'a ReiserFS file system',
    part: 'superblock',
    magic: ['ReIsErFs', 'ReIsEr2Fs', 'ReIsEr3Fs'],
    within: 52,
    at: [8 * KiB, 64 * KiB],
  },
  { what: 'a Reiser4 file system', part: 'superblock', magic: 'ReIsEr4', at: [64 * KiB] },
  {
    what: 'a NILFS2 file system',
    part: 'superblock',
    magic: '\x34\x34',
    within: 6,
    at: (size) => [KiB, NILFS_BACKUP(size)],
    plausible: plausible.isNilfs,
  },
  // ECMA-167, 2/9.1
  { what: 'a UDF file system', part: 'volume descriptor', magic: 'BEA01', within: 1, at: [32 * KiB] },
  { what: 'an APFS container', part: 'superblock', magic: 'NXSB', within: 32, at: [0], plausible: plausible.isApfs },
  { what: 'an HFS+ file system', part: 'volume header', magic: ['H+', 'HX'], at: [KiB], plausible: plausible.isHfsPlus },
  { what: 'an HFS file system', part: 'master directory block', magic: 'BD', at: [KiB], plausible: plausible.isHfs },
  // FreeBSD, sys/ufs/ffs/fs.h: SBLOCKSEARCH; both byte orders
  { what: 'a UFS file system', part: 'superblock', magic: UFS_MAGIC, within: 1372, at: [0, 8 * KiB, 64 * KiB, 256 * KiB] },
  // Last, since a file system made on the whole disk may leave the backup.
  { ...GPT, part: 'backup header', at: (size) => [size - SECTOR, roundDown(size, 4 * KiB) - 4 * KiB] },
];

const ARCHIVES: readonly DiskSignature[] = [
  { what: 'gzip-compressed data', part: 'header', magic: MAGIC.gzip, at: [0], plausible: plausible.isGzip },
  { what: 'xz-compressed data', part: 'header', magic: MAGIC.xz, at: [0] },
  { what: 'zstd-compressed data', part: 'header', magic: MAGIC.zstd, at: [0] },
  { what: 'bzip2-compressed data', part: 'header', magic: MAGIC.bzip2, at: [0], plausible: plausible.isBzip2 },
  { what: 'lz4-compressed data', part: 'header', magic: MAGIC.lz4, at: [0] },
  { what: 'a tar archive', part: 'header', magic: 'ustar', within: 257, at: [0] },
];

/** In the order in which they are looked for: the outermost first, and what follows from another one after it. */
export const SIGNATURES: readonly DiskSignature[] = [...IMAGES, ...VOLUMES, ...BEFORE_TABLES, ...TABLES, ...FILE_SYSTEMS, ...ARCHIVES];
