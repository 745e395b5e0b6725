/**
 * The one error of vdistream, and the table of everything that can go wrong.
 *
 * A code says what happened, `message` tells a person what and where, `advice` what to do about it. The table is the
 * source of `docs/errors.md` and of the exit status.
 */

/**
 * Where a person has to look. `caller`: what was asked for. `host`: the machine that vdistream runs on. `source`: the bytes as they are
 * stored or served, so no member of an archive is to blame. `image`: what they hold.
 */
export type AtFault = 'caller' | 'host' | 'source' | 'image' | 'target' | 'toolstack';

/** What may help: the same request `again`, the same from `elsewhere` (another server), or all of it `anew`, from its first byte. */
export type Remedy = 'again' | 'elsewhere' | 'anew';

interface Kind {
  /** Exit status of the command line: 1 failed, 2 usage, 3 refused by a guard, 4 verify mismatch, 130 cancelled. */
  readonly exit: 1 | 2 | 3 | 4 | 130;
  readonly atFault: AtFault;
  readonly remedies?: readonly Remedy[];
  readonly meaning: string;
  readonly advice: string;
  /** The name that `--force=NAME` lifts the guard by. */
  readonly guard?: Guard;
}

/** Checks that a caller can lift by name, in the order in which they are made: on the chain, then on the target. */
export type Guard = 'parent' | 'type' | 'busy' | 'size' | 'vhd';

const DAMAGED = 'The image is damaged or was cut. Fetch or export it again.';
const DEVICE = 'Look at the kernel log (dmesg) and at the storage behind the device. What was written so far is incomplete.';

export const ERRORS = {
  USAGE: { exit: 2, atFault: 'caller', meaning: 'The command or call was not understood.', advice: 'See --help.' },
  CANCELLED: {
    exit: 130,
    atFault: 'caller',
    remedies: ['again'],
    meaning: 'The work was cancelled by a signal.',
    advice: 'If a target was being written, it holds part of a disk: write it again before it is used.',
  },
  NATIVE_MISSING: {
    exit: 1,
    atFault: 'host',
    meaning: 'The native addon could not be loaded.',
    advice: 'Reinstall vdistream for this platform, or run `npm run build` in a checkout.',
  },

  SOURCE_OPEN: { exit: 1, atFault: 'source', meaning: 'The source could not be opened.', advice: 'Check the path and its permissions.' },
  SOURCE_READ: {
    exit: 1,
    atFault: 'source',
    meaning: 'Reading the source failed.',
    advice: 'Check the storage or pipe that the image comes from.',
  },
  SOURCE_TRUNCATED: { exit: 1, atFault: 'image', meaning: 'The source ended before the image was complete.', advice: DAMAGED },
  SOURCE_ORDER: {
    exit: 1,
    atFault: 'image',
    meaning: 'The parts of the image stand in an order that cannot be read from a stream.',
    advice: 'Give the image as an uncompressed file instead of a stream.',
  },
  SOURCE_EMPTY: {
    exit: 1,
    atFault: 'source',
    meaning: 'The source has no bytes.',
    advice: 'Look at what was meant to write it: it may have failed.',
  },
  SOURCE_CHECKSUM: {
    exit: 1,
    atFault: 'source',
    remedies: ['again'],
    meaning: 'The checksum of the source is not the one that was given, or that the image service tells.',
    advice: 'The image is not the one you meant, or was damaged on its way. Do not use the target.',
  },
  FORMAT_UNKNOWN: {
    exit: 1,
    atFault: 'image',
    meaning: 'The source is not a VHD, and not a tar that could hold one.',
    advice: 'vdistream reads VHD, tar and OVA, plain or compressed. A raw disk has to be called one: --raw.',
  },
  FORMAT_OTHER: {
    exit: 1,
    atFault: 'image',
    meaning: 'The bytes are of another format than VHD.',
    advice: 'Convert it first, for example: qemu-img convert -O vpc IN OUT.vhd',
  },
  COMPRESSION_DATA: { exit: 1, atFault: 'source', meaning: 'The compressed stream is damaged.', advice: DAMAGED },
  COMPRESSION_CHECKSUM: {
    exit: 1,
    atFault: 'source',
    meaning: 'What was decompressed does not match its CRC or its length.',
    advice: DAMAGED,
  },
  COMPRESSION_TRUNCATED: { exit: 1, atFault: 'source', meaning: 'The compressed stream ends before its end mark.', advice: DAMAGED },
  COMPRESSION_TRAILING: {
    exit: 1,
    atFault: 'source',
    meaning: 'Bytes other than zero padding follow the compressed stream.',
    advice: 'The file was joined with something else or damaged. Fetch it again.',
  },
  COMPRESSION_TOOL: {
    exit: 1,
    atFault: 'host',
    meaning: 'This compression needs a program that is not there or failed.',
    advice: 'Install the program that the message names, or recompress the image with gzip.',
  },

  TAR_HEADER: { exit: 1, atFault: 'image', meaning: 'A tar header is damaged.', advice: DAMAGED },
  TAR_SIZE: { exit: 1, atFault: 'image', meaning: 'A tar header gives a size that cannot be.', advice: DAMAGED },
  TAR_EXTENSION: {
    exit: 1,
    atFault: 'image',
    meaning: 'A long name or pax header is malformed or too large to be honest.',
    advice: 'Make the archive again with a common tar.',
  },
  TAR_SPARSE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The disk is stored as a sparse tar member, which is not supported.',
    advice: 'Make the archive again without sparse files: bsdtar --no-read-sparse, or GNU tar without -S.',
  },
  TAR_MULTIVOLUME: {
    exit: 1,
    atFault: 'image',
    meaning: 'The archive is one volume of several.',
    advice: 'Join the volumes and make one archive of them.',
  },
  TAR_NOT_A_FILE: {
    exit: 1,
    atFault: 'image',
    meaning: 'A member that is named like a disk is a link, a device or a directory.',
    advice: 'Make the archive again with the disk itself in it.',
  },

  OVF_XML: {
    exit: 1,
    atFault: 'image',
    meaning: 'The OVF of the archive is not well-formed XML, is no OVF envelope, or contradicts itself.',
    advice: 'Export the image again. The OVF is a text file: the offset says where to look.',
  },
  OVF_HREF: {
    exit: 1,
    atFault: 'image',
    meaning: 'The OVF names a file outside of the archive: a URL, an absolute path, or one with "..".',
    advice: 'Make the archive again with all its files in it.',
  },
  OVF_CHUNKED: {
    exit: 1,
    atFault: 'image',
    meaning: 'A disk of the OVF is split into chunks, which is not supported.',
    advice: 'Export the image again without a chunk size.',
  },
  OVF_DISK_MISSING: {
    exit: 1,
    atFault: 'image',
    meaning: 'A disk that the OVF names is not in the archive.',
    advice: 'The archive is not complete. Fetch or export it again.',
  },
  MANIFEST_SYNTAX: {
    exit: 1,
    atFault: 'image',
    meaning: 'The manifest of the archive, or its certificate file, cannot be understood.',
    advice: 'Make the manifest again: `sha256sum --tag` writes lines of the right form.',
  },
  MANIFEST_DIGEST: {
    exit: 1,
    atFault: 'image',
    meaning: 'A member of the archive is not what the manifest says.',
    advice: 'The image was damaged or changed after it was made. Fetch it again, and do not use the target.',
  },
  MANIFEST_MISSING: {
    exit: 1,
    atFault: 'image',
    meaning: 'A manifest is required, and there is none, or it does not list a member that it must cover.',
    advice: 'Export the image with a manifest.',
  },
  MANIFEST_SIGNATURE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The signature of the manifest does not fit the manifest and the certificate.',
    advice: 'The manifest was changed after it was signed, or signed with another key. Do not trust the image.',
  },

  DISK_NONE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The archive holds no disk.',
    advice: 'List it with `tar -tf`: the disk must be a .vhd file.',
  },
  DISK_NOT_FOUND: {
    exit: 1,
    atFault: 'image',
    meaning: 'No member has the name that was asked for.',
    advice: 'See `vdistream info` for the names.',
  },
  DISK_AMBIGUOUS: {
    exit: 1,
    atFault: 'image',
    meaning: 'The archive holds several disks, and none was named.',
    advice: 'Choose one with --disk NAME.',
  },
  DISK_DUPLICATE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The archive holds two members of the same name.',
    advice: 'Unpack it, see which is the right one, and make the archive again with that alone.',
  },
  DISK_EMPTY: { exit: 1, atFault: 'image', meaning: 'A member that is named like a disk has no bytes.', advice: DAMAGED },
  DISK_SIZE_UNKNOWN: {
    exit: 1,
    atFault: 'image',
    meaning: 'A fixed VHD or raw disk without a known length: its size is not known in time.',
    advice: 'Give the image as a file instead of a pipe. For a raw disk, --virtual-size tells it too.',
  },

  RAW_SIZE: {
    exit: 1,
    atFault: 'image',
    meaning: 'A raw disk is longer than the size that was given for it.',
    advice: 'Give the size that it has: --virtual-size.',
  },

  VHD_FOOTER: { exit: 1, atFault: 'image', meaning: 'There is no VHD footer.', advice: DAMAGED },
  VHD_FOOTER_CHECKSUM: { exit: 1, atFault: 'image', meaning: 'The footer of the VHD does not match its own checksum.', advice: DAMAGED },
  VHD_FOOTERS_DIFFER: {
    exit: 1,
    atFault: 'image',
    meaning: 'The footer at the end and its copy in front describe two different disks.',
    advice: 'The VHD was changed while it was copied: export it again. If it is a VHD inside a VHD, give it uncompressed.',
  },
  VHD_VERSION: {
    exit: 1,
    atFault: 'image',
    meaning: 'The VHD has a version that is not known.',
    advice: 'Convert the image with the program that wrote it.',
  },
  VHD_TYPE: { exit: 1, atFault: 'image', meaning: 'The VHD is of a type that is not known.', advice: DAMAGED },
  VHD_DIFFERENCING: {
    exit: 1,
    atFault: 'image',
    meaning: 'The VHD is differencing: it holds only what changed against a parent, and the parent is not there.',
    advice: 'Give the whole chain: all its files, leaf first, or an archive with 0.vhd (the leaf), 1.vhd and so on.',
  },
  VHD_ENCRYPTED: {
    exit: 1,
    atFault: 'image',
    meaning: 'The VHD is encrypted by tapdisk, and the key is not in the image.',
    advice: 'Export the disk from the host that has the key.',
  },
  VHD_SIZE: { exit: 1, atFault: 'image', meaning: 'The virtual size cannot be.', advice: DAMAGED },
  VHD_HEADER: { exit: 1, atFault: 'image', meaning: 'There is no dynamic header where the footer says.', advice: DAMAGED },
  VHD_HEADER_OFFSET: { exit: 1, atFault: 'image', meaning: 'The footer places the dynamic header where none can be.', advice: DAMAGED },
  VHD_HEADER_CHECKSUM: { exit: 1, atFault: 'image', meaning: 'The dynamic header does not match its own checksum.', advice: DAMAGED },
  VHD_BLOCK_SIZE: { exit: 1, atFault: 'image', meaning: 'The block size is no power of two from 512 bytes to 256 MiB.', advice: DAMAGED },
  VHD_TABLE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The block allocation table has fewer entries than the disk has blocks.',
    advice: DAMAGED,
  },
  VHD_TABLE_OFFSET: {
    exit: 1,
    atFault: 'image',
    meaning: 'The header places the block allocation table where none can be.',
    advice: DAMAGED,
  },
  VHD_TABLE_LARGE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The disk has more blocks than any real one, more than 4 Mi.',
    advice: 'Convert the image to blocks of 2 MiB, for example with qemu-img.',
  },
  VHD_BLOCK_METADATA: { exit: 1, atFault: 'image', meaning: 'A block lies inside the metadata of the VHD.', advice: DAMAGED },
  VHD_BLOCK_OVERLAP: { exit: 1, atFault: 'image', meaning: 'Two blocks lie on the same bytes of the VHD.', advice: DAMAGED },
  VHD_BLOCK_RANGE: { exit: 1, atFault: 'image', meaning: 'A block lies beyond the end of the VHD.', advice: DAMAGED },

  CHAIN_GAP: {
    exit: 1,
    atFault: 'image',
    meaning: 'A layer in the middle of the chain is missing.',
    advice: 'List the archive with `tar -tf`: 0.vhd, 1.vhd and so on must all be there. Export it again.',
  },
  CHAIN_TYPE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The numbered disks are no chain: one that should build on the next is complete in itself.',
    advice: 'Choose one disk with --disk NAME.',
  },
  CHAIN_PARENT: {
    // In a stream the child has been written by the time its parent comes, so this is no refusal in time.
    exit: 1,
    atFault: 'image',
    guard: 'parent',
    meaning: 'A layer was made over another parent than the one in the image. Joined, they give a corrupt disk.',
    advice: 'Look for the right parent. Chains that were relinked by number only (as Nova does) can be written all the same.',
  },
  CHAIN_LOOP: {
    exit: 1,
    atFault: 'image',
    meaning: 'A layer of the chain has itself, or a layer above it, for its parent.',
    advice: DAMAGED,
  },
  CHAIN_ORDER: {
    exit: 1,
    atFault: 'image',
    meaning: 'The stream brings a parent before its leaf, and the disk has the size of the leaf.',
    advice: 'Give the image as a file, or its virtual size (--virtual-size), or a folder to keep the layers in (--staging).',
  },
  CHAIN_SIZE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The leaf of the chain does not have the virtual size that was expected.',
    advice: 'Give the virtual size that `vdistream info` tells.',
  },
  CHAIN_DEEP: {
    exit: 1,
    atFault: 'image',
    meaning: 'The chain has more layers than any host makes.',
    advice: 'Coalesce it where it comes from. XenServer itself stops at 30 layers.',
  },

  STAGING: {
    exit: 1,
    atFault: 'host',
    meaning: 'The staging folder could not be used.',
    advice: 'Name a folder with room for the image, or for the layers of a chain as they are uncompressed.',
  },
  STRICT: {
    exit: 1,
    atFault: 'image',
    meaning: 'The image is odd, and --strict takes that for an error.',
    advice: 'Export the image again, or leave out --strict to go on with a warning.',
  },

  HTTP_CONNECT: {
    exit: 1,
    atFault: 'source',
    remedies: ['again'],
    meaning: 'No server could be reached.',
    advice: 'Check the address, and whether the service runs and can be reached from this host.',
  },
  HTTP_TLS: {
    exit: 1,
    atFault: 'source',
    remedies: ['elsewhere'],
    meaning: 'The certificate of the server is not trusted, or there is no common version of TLS.',
    advice: 'Name the certificate of the authority that signed it: --ca FILE, or the argument ca. Verification cannot be turned off.',
  },
  HTTP_AUTH: {
    exit: 1,
    atFault: 'caller',
    meaning: 'The server refuses the credentials, or wants some.',
    advice: 'Tokens expire: get a new one. See --headers for how it is given.',
  },
  HTTP_NOT_FOUND: {
    exit: 1,
    atFault: 'source',
    remedies: ['elsewhere'],
    meaning: 'The server does not have the image.',
    advice: 'Check the id or the address.',
  },
  HTTP_STATUS: {
    exit: 1,
    atFault: 'source',
    remedies: ['elsewhere'],
    meaning: 'The server answered something that asking again will not change.',
    advice: 'The message has the status. Look at the log of the server.',
  },
  HTTP_SERVER: {
    exit: 1,
    atFault: 'source',
    remedies: ['again'],
    meaning: 'The server failed, or is too busy, and did so each time it was asked.',
    advice: 'Look at the log of the server, and try again later.',
  },
  HTTP_REDIRECT: {
    exit: 1,
    atFault: 'source',
    remedies: ['elsewhere'],
    meaning: 'The server sends its clients elsewhere too often, or to a place that is not safe.',
    advice: 'Give the final address itself.',
  },
  HTTP_DROPPED: {
    exit: 1,
    atFault: 'source',
    remedies: ['again', 'anew'],
    meaning: 'The connection was lost or stood still, again and again.',
    advice: 'Look at the network between this host and the server.',
  },
  HTTP_RANGE: {
    exit: 1,
    atFault: 'source',
    remedies: ['anew'],
    meaning: 'The connection was lost, and the server cannot go on where it broke off.',
    advice: 'Try again. With --staging DIR the whole image is fetched first, and anew where that is needed.',
  },
  HTTP_CHANGED: {
    exit: 1,
    atFault: 'source',
    remedies: ['anew'],
    meaning: 'The connection was lost, and since then the server has another image.',
    advice: 'Try again when nobody uploads it any more.',
  },
  GLANCE_ANSWER: {
    exit: 1,
    atFault: 'source',
    remedies: ['elsewhere'],
    meaning: 'The answer is not one of an image service.',
    advice: 'Check the endpoint: it is the base address, without /v2.',
  },
  GLANCE_STATUS: {
    exit: 1,
    atFault: 'source',
    meaning: 'The image is not active, so it has no bytes that could be fetched.',
    advice: 'See `openstack image show`: wait until it is active, or upload it again.',
  },
  CACHE: {
    exit: 1,
    atFault: 'host',
    meaning: 'The cache folder could not be used.',
    advice: 'Name a folder on a local file system that this user can write to.',
  },

  XE_MISSING: {
    exit: 1,
    atFault: 'host',
    meaning: 'There is no xe program.',
    advice: 'Run this in Dom0, or name the program: --xe PATH.',
  },
  XE_CONNECTION: {
    exit: 1,
    atFault: 'toolstack',
    remedies: ['again'],
    meaning: 'The toolstack does not answer: xapi is down, restarting, or its master cannot be reached.',
    advice: 'See `xe host-list` and `systemctl status xapi`. Is the root file system full?',
  },
  XE_TIMEOUT: {
    exit: 1,
    atFault: 'toolstack',
    remedies: ['again'],
    meaning: 'An xe command was not done in time. It may still be at work in xapi.',
    advice: 'See `xe task-list`, and SMlog for what the storage does. `vdistream reap` removes what is left when it is done.',
  },
  XE_FAILED: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'An xe command failed for a reason that has no code of its own here.',
    advice: 'The message has the words of xapi. See /var/log/xensource.log and /var/log/SMlog.',
  },
  XE_UUID: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'There is no object with this uuid, or it has gone meanwhile.',
    advice: 'See `xe sr-list` and `xe vdi-list`.',
  },
  DOM0_UNKNOWN: {
    exit: 1,
    atFault: 'host',
    meaning: 'The uuid of the control domain could not be found.',
    advice: 'Is this Dom0? /etc/xensource-inventory tells it there.',
  },
  SR_FULL: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The storage repository has no room for the disk.',
    advice: 'Free space there, or choose another with --sr. See `xe sr-list params=name-label,physical-size,physical-utilisation`.',
  },
  SR_UNAVAILABLE: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The storage repository is not attached to this host, or its storage does not answer.',
    advice: 'See `xe pbd-list sr-uuid=SR`, plug it, and look at /var/log/SMlog.',
  },
  SR_UNSUPPORTED: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'This kind of storage repository cannot do what was asked of it.',
    advice: 'Disks cannot be made on an SR of type iscsi, hba, iso or udev. Attach one yourself and give it with --device.',
  },
  VDI_SIZE: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The storage repository cannot hold a disk of this size.',
    advice: 'A VHD of XenServer ends at 2040 GiB. See --raw-vdi, or choose another kind of repository.',
  },
  VDI_BUSY: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The VDI is in use by something else.',
    advice: 'See `xe vbd-list vdi-uuid=VDI`.',
  },
  VDI_UNAVAILABLE: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The storage cannot attach the VDI, perhaps because it was not detached cleanly.',
    advice: 'Look at /var/log/SMlog. The resetvdis tool of the storage manager clears what a crash has left.',
  },
  VBD_DETACH: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The device could not be detached from the control domain: something still has it open.',
    advice: '`fuser -v` on /dev/DEVICE tells what; `xe vbd-list uuid=VBD params=device` tells DEVICE. Then run `vdistream reap`.',
  },
  DEVICE_MISSING: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The VDI was plugged, but its block device did not appear.',
    advice: 'Look at the kernel log (dmesg) and at /var/log/SMlog.',
  },

  TARGET_OPEN: { exit: 1, atFault: 'target', meaning: 'The target could not be opened.', advice: 'Check the path and your permissions.' },
  TARGET_TYPE: {
    exit: 3,
    atFault: 'target',
    guard: 'type',
    meaning: 'The target is neither a block device nor a regular file.',
    advice: 'Check the path.',
  },
  TARGET_BUSY: {
    exit: 3,
    atFault: 'target',
    guard: 'busy',
    meaning: 'The target is mounted, held by another program, or served to a guest.',
    advice: 'Unmount it, or stop what uses it. See `lsblk`, `fuser -v` and `xl block-list`.',
  },
  TARGET_SMALL: {
    exit: 3,
    atFault: 'target',
    guard: 'size',
    meaning: 'The target is smaller than the disk.',
    advice: 'Make it at least as large as `vdistream info` says.',
  },
  TARGET_VHD: {
    exit: 3,
    atFault: 'target',
    guard: 'vhd',
    meaning: 'The target is a VHD container, which raw blocks would destroy.',
    advice: 'Write to the device that the plugged VBD shows, not to the logical volume or file beneath it.',
  },
  TARGET_WRITE: { exit: 1, atFault: 'target', meaning: 'Writing to the target failed.', advice: DEVICE },
  TARGET_READ: { exit: 1, atFault: 'target', meaning: 'Reading the target back failed.', advice: DEVICE },
  TARGET_SYNC: {
    exit: 1,
    atFault: 'target',
    meaning: 'The target could not be brought to rest: its cache may not have reached the medium.',
    advice: DEVICE,
  },
  TARGET_FULL: {
    exit: 1,
    atFault: 'target',
    meaning: 'No space is left on the target.',
    advice: 'Free space on the storage (a thin volume can be full before its own end), then write again.',
  },
  VERIFY_MISMATCH: {
    exit: 4,
    atFault: 'target',
    meaning: 'The target does not hold what the image says.',
    advice: 'Write again. If it happens twice, suspect the storage.',
  },
} as const satisfies Record<string, Kind>;

export type ErrorCode = keyof typeof ERRORS;

/**
 * Where an error applies. `offset` is in bytes: of the member (or the bare VHD) for what is wrong in it, of the archive for
 * TAR_…, of the source as it is stored for SOURCE_READ and COMPRESSION_…, of the device for a target.
 */
interface Where {
  readonly member?: string | undefined;
  readonly offset?: number | undefined;
  readonly errno?: number | undefined;
  readonly device?: string | undefined;
  /** The code that xapi gave, such as SR_BACKEND_FAILURE_44. */
  readonly xapi?: string | undefined;
  /** The status of an HTTP answer. */
  readonly status?: number | undefined;
  readonly cause?: unknown;
}

/** The only error that leaves this library on purpose. Anything else is a defect. */
export class VdiStreamError extends Error {
  override readonly name = 'VdiStreamError';
  readonly code: ErrorCode;
  readonly errno: number | undefined;
  readonly device: string | undefined;
  readonly xapi: string | undefined;
  readonly status: number | undefined;
  /** What the clean-up after this error could not undo, one sentence each. */
  readonly left: string[] = [];
  // The reader of an archive completes these for errors that come from inside a member.
  member: string | undefined;
  offset: number | undefined;

  constructor(code: ErrorCode, message: string, where: Where = {}) {
    super(message, where.cause === undefined ? undefined : { cause: where.cause });
    this.code = code;
    this.member = where.member;
    this.offset = where.offset;
    this.errno = where.errno;
    this.device = where.device;
    this.xapi = where.xapi;
    this.status = where.status;
  }

  /** What a person can do about it. */
  get advice(): string {
    return ERRORS[this.code].advice;
  }

  get atFault(): AtFault {
    return ERRORS[this.code].atFault;
  }

  hasRemedy(remedy: Remedy): boolean {
    const kind: Kind = ERRORS[this.code];
    return kind.remedies?.includes(remedy) === true;
  }

  /** Whether the same call may well succeed later, unchanged. */
  get retryable(): boolean {
    return this.hasRemedy('again') || this.hasRemedy('anew');
  }

  get exitCode(): Kind['exit'] {
    return ERRORS[this.code].exit;
  }

  /** The name that lifts this guard, where the error is a guard's. */
  get guard(): Guard | undefined {
    const kind: Kind = ERRORS[this.code];
    return kind.guard;
  }

  /** The stable form that `--json` prints under `error`. */
  toJSON(): Record<string, string | number | readonly string[]> {
    const { member, offset, errno, device, xapi, status, guard } = this;
    const left = this.left.length === 0 ? undefined : this.left;
    const fields = Object.entries({ member, offset, errno, device, xapi, status, guard, left });
    const present = fields.filter((field): field is [string, string | number | string[]] => field[1] !== undefined);
    return { code: this.code, message: this.message, advice: this.advice, ...Object.fromEntries(present) };
  }
}

/** Whether this is at fault, and this is a remedy for it. */
export const hasRemedy = (error: unknown, atFault: AtFault, remedy: Remedy): error is VdiStreamError =>
  error instanceof VdiStreamError && error.atFault === atFault && error.hasRemedy(remedy);

/** What is done about a fault that reading can go on behind. */
export type OnFault = (error: VdiStreamError) => void;

export const refuse: OnFault = (error) => {
  throw error;
};

/** Throws CANCELLED, with the signal's own reason as its cause, once the signal has fired. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new VdiStreamError('CANCELLED', 'cancelled', { cause: signal.reason });
}

/** Whatever breaks once the signal has fired, the cancelling is the error; what could not be undone is still in its `left`. */
export function cancelledOr(error: unknown, signal: AbortSignal | undefined): unknown {
  if (!signal?.aborted || (error instanceof VdiStreamError && error.code === 'CANCELLED')) return error;
  const cancelled = new VdiStreamError('CANCELLED', 'cancelled', { cause: error });
  if (error instanceof VdiStreamError) cancelled.left.push(...error.left);
  return cancelled;
}

/** Whether an error is about what the source holds, and not about the source itself. A member may have a compression of its own. */
export const isOfImage = ({ atFault, member }: VdiStreamError): boolean => atFault === 'image' || member !== undefined;

/** Names the archive member in errors that come from inside it; an error that already names one keeps it. */
export function inMember(member: string | undefined, error: unknown): unknown {
  if (error instanceof VdiStreamError && isOfImage(error)) error.member ??= member;
  return error;
}

/** Makes an offset in an outer range one in the range that begins at `start` of it. */
export function fromStart(start: number, error: unknown): unknown {
  if (error instanceof VdiStreamError && isOfImage(error) && error.offset !== undefined) error.offset -= start;
  return error;
}

/** Of whatever was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** For the default branch of an exhaustive switch: our own logic, so an assertion and not a typed error. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}

/** An assertion on our own logic; never on data from outside. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
