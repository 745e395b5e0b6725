/** Magic bytes, as latin1 text, that more than one folder looks for. */

export const MAGIC = {
  /** The cookie of a VHD footer. */
  vhd: 'conectix',
  gzip: '\x1f\x8b',
  zstd: '\x28\xb5\x2f\xfd',
  xz: '\xfd7zXZ\0',
  bzip2: 'BZh',
  lz4: '\x04\x22\x4d\x18',
} as const;
