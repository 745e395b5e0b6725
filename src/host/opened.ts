/** Opened: a device or file that has been opened, and how. */

/** What the system reports about it. Sizes in bytes. */
export interface Opened {
  readonly fd: number;
  readonly kind: 'block' | 'file' | 'other';
  /** False if O_DIRECT was requested but the file system, or this system without the addon, does not support it. */
  readonly direct: boolean;
  readonly size: number;
  /** The smallest unit of O_DIRECT I/O. */
  readonly sector: number;
  readonly major: number;
  readonly minor: number;
}

export interface OpenFlags {
  readonly write: boolean;
  readonly direct: boolean;
  /** O_EXCL on a block device: fails with EBUSY if it is mounted or in use. */
  readonly exclusive: boolean;
  /** Creates a new file; fails with EEXIST if there is one. */
  readonly create: boolean;
  /** Creates a file without a name in the folder `path`; EOPNOTSUPP, EISDIR or ENOENT if the file system has none. */
  readonly unnamed?: boolean;
}
