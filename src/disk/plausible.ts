/**
 * Whether the structure around a weak magic can be what the magic says. Each check gets the first 512 bytes of the structure, padded
 * with zeros where the disk ends, and is as strict as the kernel or libblkid (util-linux, libblkid/src/), or looser.
 */

const isPowerOfTwo = (value: number, least: number, most: number): boolean =>
  value >= least && value <= most && Number.isInteger(Math.log2(value));

const u8 = (part: DataView, at: number): number => part.getUint8(at);
const u16 = (part: DataView, at: number): number => part.getUint16(at, true);
const u32 = (part: DataView, at: number): number => part.getUint32(at, true);

/** Offset of the first of four partition entries of 16 bytes in an MBR. */
const ENTRIES = 446;

/**
 * Each of the four entries is flagged as active or not, which rules out the code of a boot sector (kernel, block/partitions/msdos.c), and
 * one has a type, a start and a size.
 */
export function hasPartitions(part: DataView): boolean {
  const entries = [0, 1, 2, 3].map((index) => ENTRIES + 16 * index);
  return (
    entries.every((at) => u8(part, at) === 0 || u8(part, at) === 0x80) &&
    entries.some((at) => u8(part, at + 4) !== 0 && u32(part, at + 8) !== 0 && u32(part, at + 12) !== 0)
  );
}

/** The BIOS parameter block of a FAT (Microsoft, FAT specification 1.03; kernel, fs/fat/inode.c, fat_read_bpb). NTFS has zeros in it. */
export function isFat(part: DataView): boolean {
  const media = u8(part, 21);
  return (
    isPowerOfTwo(u16(part, 11), 512, 4096) && // bytes per sector
    isPowerOfTwo(u8(part, 13), 1, 128) && // sectors per cluster
    u16(part, 14) > 0 && // reserved sectors
    u8(part, 16) > 0 && // FATs
    (media === 0xf0 || media >= 0xf8) &&
    (u16(part, 19) > 0 || u32(part, 32) > 0) && // sectors
    (u16(part, 22) > 0 || u32(part, 36) > 0) // sectors of a FAT
  );
}

/** Floppies from before DOS 4 have no text that says FAT. A jump then distinguishes their boot sector from an MBR. */
export const isOldFat = (part: DataView): boolean => [0xeb, 0xe9].includes(u8(part, 0)) && isFat(part);

/** s_blocks_count_lo, s_log_block_size and s_rev_level (kernel, fs/ext4/ext4.h). */
export const isExt = (part: DataView): boolean => u32(part, 4) > 0 && u32(part, 24) <= 6 && u32(part, 76) <= 1;

/** sb_blocksize (kernel, fs/xfs/libxfs/xfs_format.h). */
export const isXfs = (part: DataView): boolean => isPowerOfTwo(part.getUint32(4), 512, 65536);

/** s_rev_level and s_bytes (kernel, include/uapi/linux/nilfs2_ondisk.h). */
export const isNilfs = (part: DataView): boolean => u32(part, 0) === 2 && u16(part, 8) >= 200 && u16(part, 8) <= 1024;

/** nx_block_size (Apple File System Reference, nx_superblock_t). */
export const isApfs = (part: DataView): boolean => isPowerOfTwo(u32(part, 36), 4096, 65536);

/** Version and blockSize (Apple, TN1150, HFSPlusVolumeHeader). */
export const isHfsPlus = (part: DataView): boolean => [4, 5].includes(part.getUint16(2)) && isPowerOfTwo(part.getUint32(40), 512, 2 ** 31);

/** drVBMSt and drAlBlkSiz (Inside Macintosh: Files, Master Directory Blocks). */
export const isHfs = (part: DataView): boolean => part.getUint16(14) === 3 && part.getUint32(20) > 0 && part.getUint32(20) % 512 === 0;

/** s_major of squashfs 1 to 4, in the byte order of the magic (kernel, fs/squashfs/squashfs_fs.h). */
export const isSquashfs = (part: DataView): boolean => {
  const major = part.getUint16(28, u8(part, 0) === 0x68);
  return major >= 1 && major <= 4;
};

/** CM 8, and no reserved flag (RFC 1952, 2.3). */
export const isGzip = (part: DataView): boolean => u8(part, 2) === 8 && u8(part, 3) < 0x20;

/** Block size, then a block or the end of an empty file (bzip2, compress.c and decompress.c). */
export const isBzip2 = (part: DataView): boolean =>
  u8(part, 3) >= 0x31 && u8(part, 3) <= 0x39 && [0x31415926, 0x17724538].includes(part.getUint32(4));

/** d_magic2 (kernel, block/partitions/msdos.c). */
export const isBsdLabel = (part: DataView): boolean => u32(part, 132) === 0x82564557;

/** The exclusive or of all 16-bit words is 0 (kernel, block/partitions/sun.c). */
export function isSunLabel(part: DataView): boolean {
  let sum = 0;
  for (let at = 0; at < 512; at += 2) sum ^= part.getUint16(at);
  return sum === 0;
}

/** The number of entries, and that the map itself starts at block 1 (Inside Macintosh: Devices, Partition Maps). */
export const isAppleMap = (part: DataView): boolean => part.getUint32(4) > 0 && part.getUint32(4) <= 256 && part.getUint32(8) === 1;

/** Valid, version 1 (kernel, drivers/md/dm-snap-persistent.c). */
export const isSnapshot = (part: DataView): boolean => u32(part, 4) <= 1 && u32(part, 8) === 1;
