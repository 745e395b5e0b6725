/**
 * Disks that bear one signature each, made by hand from the layouts that kernel headers, specifications and libblkid document; nothing is
 * taken from src/disk/signatures.ts.
 */

export interface SignedDisk {
  readonly what: string;
  readonly part: string;
  /** Where the structure starts. */
  readonly offset: number;
  readonly size: number;
  /** Bytes by their offset in the structure. */
  readonly bytes: ReadonlyArray<readonly [at: number, bytes: Uint8Array]>;
  /** What `blkid -p` calls it and where `wipefs` finds the magic, in the structure; undefined if it has no such type or checks a checksum, too. */
  readonly blkid?: { readonly type: string; readonly magicAt: number } | undefined;
}

/** Not a multiple of 4096: what is found from the end depends on how the size is rounded. */
export const ODD_SIZE = 8 * 1024 * 1024 + 4096 + 1536;
/** What libblkid needs for ZFS. */
const LARGE = 64 * 1024 * 1024 + 512;
const K = 1024;
const M = 1024 * 1024;

const raw = (text: string): Buffer => Buffer.from(text, 'latin1');
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const le16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
};
const le32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const be16 = (value: number): Buffer => le16(value).reverse();
const be32 = (value: number): Buffer => le32(value).reverse();
const be64 = (value: number): Buffer => Buffer.concat([Buffer.alloc(4), be32(value)]);
const le64 = (value: number): Buffer => Buffer.concat([le32(value), Buffer.alloc(4)]);

type Bytes = SignedDisk['bytes'];
type Judge = readonly [type: string, magicAt: number];

function at(offsets: readonly number[], what: string, part: string, bytes: Bytes, judge?: Judge, size = ODD_SIZE): SignedDisk[] {
  const blkid = judge && { type: judge[0], magicAt: judge[1] };
  return offsets.map((offset) => ({ what, part, offset, size, bytes, blkid }));
}

/** ODD_SIZE in whole units of `unit`, minus `back`. */
const end = (unit: number, back: number): number => Math.floor(ODD_SIZE / unit) * unit - back;

/** An entry of an MBR: Linux, from sector 2048 on. */
const entry = Buffer.concat([hex('00 000000 83 000000'), le32(2048), le32(4096)]);
const bootSignature = [510, hex('55aa')] as const;

const IMAGES = [
  ...at([0, ODD_SIZE - 512, ODD_SIZE - 511], 'a VHD', 'footer', [[0, raw('conectix')]]),
  ...at([0], 'a VHDX image', 'signature', [[0, raw('vhdxfile')]]),
  ...at([0], 'a qcow image', 'signature', [[0, hex('514649fb 00000001')]]),
  ...at([0], 'a qcow2 image', 'signature', [[0, hex('514649fb 00000003')]]),
  ...at([0], 'a QED image', 'signature', [[0, hex('51454400')]]),
  ...at([0], 'a VMDK image', 'signature', [[0, hex('4b444d56 01000000')]]),
  ...at([0], 'a VMDK descriptor', 'signature', [[0, raw('# Disk DescriptorFile\nversion=1\n')]]),
  ...at([64], 'a VDI (VirtualBox) image', 'signature', [[0, be32(0x7f10dabe)]]),
  ...['WithoutFreeSpace', 'WithouFreSpacExt'].flatMap((magic) => at([0], 'a Parallels image', 'signature', [[0, raw(magic)]])),
  ...at([0], 'a ZIP archive', 'signature', [[0, raw('PK\x03\x04')]]),
  ...at([0], 'a RAR archive', 'signature', [[0, hex('526172211a0701')]]),
  ...at([0], 'a VMA (a backup of Proxmox)', 'signature', [[0, hex('564d4100 00000001')]]),
  ...at([0], 'a 7z archive', 'signature', [[0, hex('377abcaf271c')]]),
  ...at([0], 'an XML document', 'signature', [[0, raw('<?xml version="1.0"?>')]]),
  ...['<!DOCTYPE html', '<!doctype html', '<html', '<HTML'].flatMap((magic) => at([0], 'a web page', 'signature', [[0, raw(magic)]])),
];

const md1 = (offset: number): SignedDisk[] =>
  at(
    [offset],
    'a member of an md RAID',
    'superblock',
    [
      [0, le32(0xa92b4efc)],
      [4, le32(1)],
      [144, le64(offset / 512)],
    ],
    ['linux_raid_member', 0],
  );

const zfs = (label: number, slot: number, magic: Buffer, judge?: Judge): SignedDisk[] =>
  at(
    [label + (128 + slot) * K],
    'a ZFS pool member',
    'uberblock',
    [0, 1, 2, 3].map((next) => [next * K, magic]),
    judge,
    LARGE,
  );

const drbd = (magic: number): SignedDisk[] => at([end(4 * K, 4 * K)], 'a DRBD device', 'metadata', [[60, be32(magic)]]);

const luks2 = (offset: number): SignedDisk[] =>
  at(
    [offset],
    'a LUKS container',
    'secondary header',
    [
      [0, raw('SKUL\xba\xbe')],
      [6, be16(2)],
      [256, be64(offset)],
    ],
    ['crypto_LUKS', 0],
  );

const VOLUMES = [
  ...[le32(0xa92b4efc), be32(0xa92b4efc)].flatMap((magic) =>
    at([end(64 * K, 64 * K)], 'a member of an md RAID', 'superblock', [[0, magic]], ['linux_raid_member', 0]),
  ),
  ...[0, 4 * K, end(4 * K, 8 * K)].flatMap(md1),
  ...at([ODD_SIZE - 512], 'a member of a DDF RAID', 'anchor header', [[0, be32(0xde11de11)]], ['ddf_raid_member', 0]),
  ...at([ODD_SIZE - 512], 'a member of a DDF RAID', 'anchor header', [[0, le32(0xde11de11)]], ['ddf_raid_member', 0]),
  ...at([ODD_SIZE - 1024], 'a member of an Intel RAID', 'header', [[0, raw('Intel Raid ISM Cfg Sig. 1.0.00')]], ['isw_raid_member', 0]),
  // libblkid does not round the size, which is a multiple of 4096 on most devices.
  ...[0x8374026b, 0x8374026c, 0x8374026d].flatMap(drbd),
  ...[0, 1, 2, 3].flatMap((sector) =>
    at(
      [512 * sector],
      'an LVM physical volume',
      'label',
      [
        [0, raw('LABELONE')],
        [8, le64(sector)],
        [24, raw('LVM2 001')],
      ],
      ['LVM2_member', 24],
    ),
  ),
  ...[1, 2].flatMap((version) =>
    at(
      [0],
      'a LUKS container',
      'header',
      [
        [0, raw('LUKS\xba\xbe')],
        [6, be16(version)],
      ],
      ['crypto_LUKS', 0],
    ),
  ),
  ...[16, 32, 64, 128, 256, 512, 1024, 2048, 4096].map((kib) => kib * K).flatMap(luks2),
  ...at([0], 'a BitLocker volume', 'boot sector', [[3, raw('-FVE-FS-')]]),
  // libblkid asks for four uberblocks, and reports the last.
  ...[0, 256 * K, 63.5 * M, 63.75 * M].flatMap((label) => [
    ...zfs(label, 4, le64(0xbab10c), ['zfs_member', 3 * K]),
    ...zfs(label, 60, le64(0xbab10c).reverse(), ['zfs_member', 3 * K]),
    ...zfs(label, 0, le64(0xbab10c), ['zfs_member', 3 * K]),
    ...zfs(label, 124, le64(0xbab10c), ['zfs_member', 3 * K]),
  ]),
  ...at([4 * K], 'a bcache device', 'superblock', [[24, hex('c68573f6 4e1a45ca 8265f57f 48ba6d81')]]),
  ...at([4 * K], 'a bcachefs file system', 'superblock', [[24, hex('c68573f6 66ce90a9 d96a60cf 803df7ef')]]),
  ...at([0], 'a Ceph OSD (BlueStore)', 'label', [[0, raw('bluestore block device\n')]], ['ceph_bluestore', 0]),
  ...at([512, 9 * 512], 'a Stratis pool member', 'header', [[4, raw('!Stra0tis\x86\xff\x02^\x41rh')]]),
  ...at([0], 'a VDO volume', 'geometry block', [[0, raw('dmvdo001')]], ['vdo', 0]),
  ...at([M], 'a VMFS volume', 'volume header', [[0, le32(0xc001d00d)]], ['VMFS_volume_member', 0]),
  ...at([0], 'an Oracle ASM disk', 'label', [[32, raw('ORCLDISK')]], ['oracleasm', 32]),
  ...at([0], 'the metadata of an LVM thin pool', 'superblock', [[32, le64(27022010)]]),
  ...at([0], 'the metadata of a dm-cache', 'superblock', [[32, le64(0o6142003)]]),
  ...at([0], 'the metadata of a dm-era', 'superblock', [[32, le64(2126579579)]]),
  ...at([0], 'an LVM snapshot', 'header', [[0, Buffer.concat([raw('SnAp'), le32(1), le32(1), le32(8)])]], ['DM_snapshot_cow', 0]),
  ...at(
    [0],
    'a dm-verity hash device',
    'superblock',
    [
      [0, raw('verity\0\0')],
      [8, le32(1)],
    ],
    ['DM_verity_hash', 0],
  ),
  ...at([0], 'a dm-integrity device', 'superblock', [[0, raw('integrt\0\x01')]], ['DM_integrity', 0]),
];

/** A BIOS parameter block: 512-byte sectors, 4 per cluster, 1 reserved, 2 FATs of 8 sectors, 512 root entries, 8192 sectors. */
const bpb = [11, Buffer.concat([le16(512), hex('04'), le16(1), hex('02'), le16(512), le16(8192), hex('f8'), le16(8)])] as const;
const fat = (bytes: Bytes, judge: Judge): SignedDisk[] =>
  at([0], 'a FAT file system', 'boot sector', [bpb, bootSignature, ...bytes], judge);

function sunLabel(): Buffer {
  const label = Buffer.alloc(512);
  label.writeUInt16BE(0x1234, 444);
  label.writeUInt16BE(0xdabe, 508);
  label.writeUInt16BE(0x1234 ^ 0xdabe, 510);
  return label;
}

const TABLES = [
  ...at([512, 4096], 'a GPT partition table', 'header', [[0, raw('EFI PART\0\0\x01\0')]]),
  ...at([ODD_SIZE - 512, end(4 * K, 4 * K)], 'a GPT partition table', 'backup header', [[0, raw('EFI PART\0\0\x01\0')]]),
  ...[446, 462, 478, 494].flatMap((place) =>
    at([0], 'an MBR partition table', 'boot sector', [[place, entry], bootSignature], ['dos', 510]),
  ),
  ...at([64, 128, 512], 'a BSD disklabel', 'label', [
    [0, le32(0x82564557)],
    [132, le32(0x82564557)],
  ]),
  ...at([0], 'a Sun disklabel', 'label', [[0, sunLabel()]], ['sun', 508]),
  ...at([512], 'an Apple partition map', 'map', [[0, Buffer.concat([raw('PM\0\0'), be32(2), be32(1), be32(63)])]]),
  ...['FAT12   ', 'FAT16   ', 'FAT     ', 'MSDOS'].flatMap((name) => fat([[54, raw(name)]], ['vfat', 54])),
  ...['FAT32   ', 'MSWIN'].flatMap((name) => fat([[82, raw(name)]], ['vfat', 82])),
  ...['eb3c90', 'e90001'].flatMap((jump) => fat([[0, hex(jump)]], ['vfat', 0])),
];

const FILE_SYSTEMS = [
  ...at([32 * K], 'an ISO 9660 file system', 'volume descriptor', [[1, raw('CD001\x01')]]),
  ...at([0], 'an NTFS file system', 'boot sector', [[3, raw('NTFS    ')]]),
  ...at([0], 'an exFAT file system', 'boot sector', [[3, raw('EXFAT   ')]], ['exfat', 3]),
  ...at(
    [K],
    'an ext2, ext3 or ext4 file system',
    'superblock',
    [
      [4, le32(2048)],
      [56, le16(0xef53)],
      [76, le32(1)],
    ],
    ['ext2', 56],
  ),
  ...at([0], 'an XFS file system', 'superblock', [[0, Buffer.concat([raw('XFSB'), be32(4096)])]]),
  ...at([64 * K], 'a btrfs file system', 'superblock', [[64, raw('_BHRfS_M')]], ['btrfs', 64]),
  ...[4, 8, 16, 32, 64].flatMap((page) => [
    ...at([page * K - 10], 'a swap area', 'signature', [[0, raw('SWAP-SPACE')]], ['swap', 0]),
    ...['SWAPSPACE2', 'LINHIB0001', 'S1SUSPEND\0', 'S2SUSPEND\0', 'ULSUSPEND\0'].flatMap((magic) =>
      at([page * K - 10], 'a swap area', 'signature', [[0, raw(magic)]], magic === 'SWAPSPACE2' ? undefined : ['swsuspend', 0]),
    ),
  ]),
  ...at([K], 'an F2FS file system', 'superblock', [[0, le32(0xf2f52010)]], ['f2fs', 0]),
  ...at([K], 'an EROFS file system', 'superblock', [[0, le32(0xe0f5e1e2)]], ['erofs', 0]),
  ...at(
    [0],
    'a SquashFS file system',
    'superblock',
    [
      [0, raw('hsqs')],
      [28, le16(4)],
    ],
    ['squashfs', 0],
  ),
  ...at(
    [0],
    'a SquashFS file system',
    'superblock',
    [
      [0, raw('sqsh')],
      [28, be16(3)],
    ],
    ['squashfs3', 0],
  ),
  ...at([64 * K], 'a GFS2 file system', 'superblock', [[0, Buffer.concat([be32(0x01161970), be32(1)])]]),
  ...[1, 2, 4, 8].flatMap((kib) => at([kib * K], 'an OCFS2 file system', 'superblock', [[0, raw('OCFSV2\0\0')]])),
  ...at([2 * M], 'a VMFS file system', 'header', [[0, le32(0x2fabf15e)]], ['VMFS', 0]),
  ...at([32 * K], 'a JFS file system', 'superblock', [[0, raw('JFS1')]]),
  ...[8, 64].flatMap((kib) =>
    ['ReIsErFs', 'ReIsEr2Fs', 'ReIsEr3Fs'].flatMap((magic) => at([kib * K], 'a ReiserFS file system', 'superblock', [[52, raw(magic)]])),
  ),
  ...at([64 * K], 'a Reiser4 file system', 'superblock', [[0, raw('ReIsEr4')]], ['reiser4', 0]),
  ...at([K, end(4 * K, 4 * K)], 'a NILFS2 file system', 'superblock', [
    [0, le32(2)],
    [6, le16(0x3434)],
    [8, le16(280)],
  ]),
  ...at([32 * K], 'a UDF file system', 'volume descriptor', [[1, raw('BEA01\x01')]]),
  ...at([0], 'an APFS container', 'superblock', [[32, Buffer.concat([raw('NXSB'), le32(4096)])]]),
  ...['H+', 'HX'].flatMap((magic) =>
    at(
      [K],
      'an HFS+ file system',
      'volume header',
      [
        [0, raw(magic)],
        [2, be16(4)],
        [40, be32(4096)],
      ],
      ['hfsplus', 0],
    ),
  ),
  ...at(
    [K],
    'an HFS file system',
    'master directory block',
    [
      [0, raw('BD')],
      [14, be16(3)],
      [20, be32(512)],
    ],
    ['hfs', 0],
  ),
  ...[0, 8, 64, 256].flatMap((kib) =>
    [le32(0x00011954), be32(0x00011954), le32(0x19540119), be32(0x19540119)].flatMap((magic) =>
      at([kib * K], 'a UFS file system', 'superblock', [[1372, magic]], ['ufs', 1372]),
    ),
  ),
];

const ARCHIVES = [
  ...at([0], 'gzip-compressed data', 'header', [[0, hex('1f8b0800')]]),
  ...at([0], 'xz-compressed data', 'header', [[0, hex('fd377a585a00')]]),
  ...at([0], 'zstd-compressed data', 'header', [[0, le32(0xfd2fb528)]]),
  ...at([0], 'bzip2-compressed data', 'header', [[0, raw('BZh91AY&SY')]]),
  ...at([0], 'bzip2-compressed data', 'header', [[0, Buffer.concat([raw('BZh9'), hex('177245385090')])]]),
  ...at([0], 'lz4-compressed data', 'header', [[0, le32(0x184d2204)]]),
  ...['ustar\x0000', 'ustar  \0'].flatMap((magic) => at([0], 'a tar archive', 'header', [[257, raw(magic)]])),
];

export const SIGNED_DISKS: readonly SignedDisk[] = [...IMAGES, ...VOLUMES, ...TABLES, ...FILE_SYSTEMS, ...ARCHIVES];

/** The bytes of such a disk, each with its offset on the disk. */
export const bytesOf = ({ offset, bytes }: SignedDisk): ReadonlyArray<readonly [at: number, bytes: Uint8Array]> =>
  bytes.map(([within, content]) => [offset + within, content]);
