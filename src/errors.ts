/**
 * The error class of vdistream, and the table of everything that can go wrong.
 *
 * `code` classifies the error, `message` says what happened and where, `advice` says what to do. The table sets the exit status, and
 * `docs/errors.md` is generated from it.
 */

import { printable } from './quote.ts';

/**
 * Where to look for the cause. `caller`: the request. `host`: the machine that vdistream runs on. `source`: the bytes as stored or
 * served, as opposed to a member of an archive. `image`: the content of those bytes.
 */
export type AtFault = 'caller' | 'host' | 'source' | 'image' | 'target' | 'toolstack';

/** What may help: the same request `again`, the same from `elsewhere` (another server), or a restart from the first byte (`anew`). */
export type Remedy = 'again' | 'elsewhere' | 'anew';

interface Kind {
  /** Exit status of the command line: 1 failed, 2 usage, 3 refused by a guard, 4 verify mismatch, 130 cancelled. */
  readonly exit: 1 | 2 | 3 | 4 | 130;
  readonly atFault: AtFault;
  readonly remedies?: readonly Remedy[];
  readonly meaning: string;
  /** What a person can do, whichever way vdistream was called: it names no option of the command line. */
  readonly advice: string;
  /** What the command line says instead, with its options. */
  readonly cli?: string;
  /** The name of the guard that refused, which `--force` lifts. */
  readonly guard?: Guard;
}

/** Checks that a caller can lift by name, in the order they run: on the chain, then on the target. */
export type Guard = 'parent' | 'type' | 'busy' | 'size' | 'vhd' | 'content';

const DAMAGED = 'The image is damaged or truncated. Fetch or export it again.';
const DEVICE = 'Check the kernel log (dmesg) and the storage under the device. The disk on the target may be incomplete.';

export const ERRORS = {
  USAGE: {
    exit: 2,
    atFault: 'caller',
    meaning: 'The command line or the call is invalid.',
    advice: 'Correct the arguments.',
    cli: 'See --help.',
  },
  CANCELLED: {
    exit: 130,
    atFault: 'caller',
    remedies: ['again'],
    meaning: 'A signal cancelled the operation.',
    advice: 'Nothing is wrong with the image: start again when you like.',
  },
  NATIVE_MISSING: {
    exit: 1,
    atFault: 'host',
    meaning: 'The native addon could not be loaded, and a block device or a VDI needs it. Files are read and written without it.',
    advice:
      'On Linux, reinstall vdistream, or run `npm run build` in a checkout. For a Xen host, see https://github.com/vdistream/vdistream/blob/main/docs/dom0-install.md. On other systems there is no addon: write to a file instead.',
  },
  LOCK_FILE: {
    exit: 1,
    atFault: 'host',
    meaning: 'A lock cannot be used: its file or folder is a link, belongs to another user, or is open to other users.',
    advice: 'The message says what to do. VDISTREAM_LOCKS names another folder for the locks of imports.',
  },
  LOCK_TIMEOUT: {
    exit: 1,
    atFault: 'host',
    remedies: ['again'],
    meaning: 'Another process holds a lock and makes no progress.',
    advice: 'Check the process that the message names: it may be stopped, or wait for storage. The lock is free as soon as it ends.',
  },
  RECORD: {
    exit: 1,
    atFault: 'host',
    meaning:
      'The record of an import or export cannot be written, or its folder is a link, belongs to another user, or is open to other users.',
    advice: 'Check the folder, and whether its file system is full. VDISTREAM_RECORDS names another one.',
  },
  LOG_FILE: {
    exit: 1,
    atFault: 'host',
    meaning: 'The log cannot be opened, or the file is not a log of vdistream. Nothing was done.',
    advice: 'Name a new file, or a log of an earlier run, in a folder that this user can write to.',
  },

  MEMORY: {
    exit: 1,
    atFault: 'host',
    remedies: ['again'],
    meaning: 'The host has no memory for the buffers.',
    advice: 'Free some memory, or raise the limit of this process (ulimit -v, or its cgroup).',
  },
  THREADS: {
    exit: 1,
    atFault: 'host',
    remedies: ['again'],
    meaning: 'The host cannot start a thread.',
    advice: 'Raise the limit on threads (ulimit -u, or pids.max of the cgroup), or end other processes.',
  },

  SOURCE_OPEN: { exit: 1, atFault: 'source', meaning: 'The source could not be opened.', advice: 'Check the path and its permissions.' },
  SOURCE_READ: {
    exit: 1,
    atFault: 'source',
    meaning: 'The source could not be read.',
    advice: 'Check the storage or pipe that the image comes from.',
  },
  SOURCE_TRUNCATED: { exit: 1, atFault: 'image', meaning: 'The source ended before the image was complete.', advice: DAMAGED },
  SOURCE_ORDER: {
    exit: 1,
    atFault: 'image',
    meaning: 'The parts of the image are in an order that cannot be read from a stream.',
    advice: 'Pass the image as an uncompressed file instead of a stream.',
  },
  SOURCE_EMPTY: {
    exit: 1,
    atFault: 'source',
    meaning: 'The source is empty.',
    advice: 'Check the program that should have written it: it may have failed.',
  },
  SOURCE_CHECKSUM: {
    exit: 1,
    atFault: 'source',
    remedies: ['again'],
    meaning: 'The checksum of the source differs from the one given by the caller or by the image service.',
    advice: 'This is another image, or it was damaged in transit. Do not use the target.',
  },
  FORMAT_UNKNOWN: {
    exit: 1,
    atFault: 'image',
    meaning: 'The source is neither a VHD nor a tar archive.',
    advice: 'vdistream reads VHD, tar and OVA, plain or compressed. If this is a raw disk, read it as raw.',
    cli: 'vdistream reads VHD, tar and OVA, plain or compressed. For a raw disk, add --raw.',
  },
  FORMAT_OTHER: {
    exit: 1,
    atFault: 'image',
    meaning: 'The image is in a format other than VHD.',
    advice: 'Convert or unpack it first, or fetch the image itself.',
  },
  FORMAT_END: {
    exit: 1,
    atFault: 'image',
    meaning:
      'The image begins like an archive, but its end says that all of it is a fixed VHD, whose disk was used like a tape. In a stream this is found at the end: do not use the target.',
    advice: 'Pass the image as a file instead of a stream, and decompress it first: then the end is looked at before anything is written.',
  },
  COMPRESSION_DATA: { exit: 1, atFault: 'source', meaning: 'The compressed stream is damaged.', advice: DAMAGED },
  COMPRESSION_CHECKSUM: {
    exit: 1,
    atFault: 'source',
    meaning: 'The decompressed data does not match its CRC or its length.',
    advice: DAMAGED,
  },
  COMPRESSION_TRUNCATED: { exit: 1, atFault: 'source', meaning: 'The compressed stream is truncated.', advice: DAMAGED },
  COMPRESSION_TRAILING: {
    exit: 1,
    atFault: 'source',
    meaning: 'The compressed stream is followed by bytes other than zero padding.',
    advice:
      'Something was appended to the file, or it is damaged: fetch it again. Pass a disk that only begins like a compressed file as a file.',
  },
  COMPRESSION_NESTED: {
    exit: 1,
    atFault: 'image',
    meaning: 'The image is compressed more than twice.',
    advice: 'Decompress it first.',
  },
  COMPRESSION_MEMORY: {
    exit: 1,
    atFault: 'host',
    meaning: "Decompressing the image needs more memory than vdistream's limit. The image itself may be good.",
    advice: 'Decompress it first with the program itself: `zstd -dc --long=31 FILE`, or `xz -dc FILE`.',
    cli: 'Decompress it with the program itself: zstd -dc --long=31 FILE | vdistream write - TARGET, or xz -dc FILE | ...',
  },
  COMPRESSION_TOOL: {
    exit: 1,
    atFault: 'host',
    meaning:
      'The program or library for this compression is not installed, could not be started or loaded, cannot read this image, or was killed.',
    advice: 'If it is missing, install it or recompress the image with gzip. Otherwise free memory or raise the limits of this process.',
    cli: 'If it is missing, install it or recompress the image with gzip. If it was chosen with --inflate, use --inflate=auto. Otherwise free memory or raise the limits of this process.',
  },

  TAR_HEADER: { exit: 1, atFault: 'image', meaning: 'A tar header is damaged.', advice: DAMAGED },
  TAR_SIZE: { exit: 1, atFault: 'image', meaning: 'A tar header has an invalid size.', advice: DAMAGED },
  TAR_EXTENSION: {
    exit: 1,
    atFault: 'image',
    meaning: 'A long name or pax header is malformed or far too large.',
    advice: 'Create the archive again with GNU tar or bsdtar.',
  },
  TAR_SPARSE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The disk is stored as a sparse tar member, which is not supported.',
    advice: 'Create the archive again without sparse files: bsdtar --no-read-sparse, or GNU tar without -S.',
  },
  TAR_MULTIVOLUME: {
    exit: 1,
    atFault: 'image',
    meaning: 'The archive is one volume of a multi-volume archive.',
    advice: 'Unpack all volumes and create a single archive.',
  },
  TAR_NOT_A_FILE: {
    exit: 1,
    atFault: 'image',
    meaning: 'A member with the name of a disk is not a file, but a link, a device or a directory.',
    advice: 'Create the archive again with the disk itself in it.',
  },

  OVF_XML: {
    exit: 1,
    atFault: 'image',
    meaning: 'The OVF descriptor is not well-formed XML, is not an OVF envelope, or contradicts itself about its disks.',
    advice: 'Export the image again. The descriptor is a text file: the offset shows where to look.',
  },
  OVF_HREF: {
    exit: 1,
    atFault: 'image',
    meaning: 'The OVF descriptor refers to a file outside the archive: a URL, an absolute path, or a path with "..".',
    advice: 'Create the archive again with all its files in it.',
  },
  OVF_CHUNKED: {
    exit: 1,
    atFault: 'image',
    meaning: 'The OVF descriptor lists a disk that is split into chunks, which is not supported.',
    advice: 'Export the image again without a chunk size.',
  },
  OVF_DISK_MISSING: {
    exit: 1,
    atFault: 'image',
    meaning: 'A disk that the OVF descriptor lists is not in the archive.',
    advice: 'The archive is incomplete. Fetch or export it again.',
  },
  MANIFEST_SYNTAX: {
    exit: 1,
    atFault: 'image',
    meaning: 'The manifest or the certificate file of the archive is malformed.',
    advice: 'Create the manifest again: `sha256sum --tag` writes lines in the right form. If you trust the image, ignore the manifest.',
    cli: 'Create the manifest again: `sha256sum --tag` writes lines in the right form. If you trust the image, --manifest=ignore reads it without one.',
  },
  MANIFEST_DIGEST: {
    exit: 1,
    atFault: 'image',
    meaning: 'A member of the archive does not match its digest in the manifest.',
    advice:
      'The image was damaged or changed after the manifest was written. Fetch it again, and do not use the target. If you know why it differs, ignore the manifest.',
    cli: 'The image was damaged or changed after the manifest was written. Fetch it again, and do not use the target. If you know why it differs, --manifest=ignore reads it anyway.',
  },
  MANIFEST_MISSING: {
    exit: 1,
    atFault: 'image',
    meaning: 'A manifest is required, but there is none, or it does not list a member that it must cover.',
    advice: 'Export the image with a manifest, or do not require one.',
    cli: 'Export the image with a manifest, or leave out --manifest=require.',
  },
  MANIFEST_SIGNATURE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The signature of the manifest does not verify with the certificate.',
    advice:
      'The manifest was changed after it was signed, or it was signed with another key. Do not trust the image, unless you ignore its manifest on purpose.',
    cli: 'The manifest was changed after it was signed, or it was signed with another key. Do not trust the image, unless you use --manifest=ignore on purpose.',
  },

  DISK_NONE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The archive holds no disk.',
    advice: 'List the archive with `tar -tf`: the disk must be a .vhd file.',
  },
  DISK_NOT_FOUND: {
    exit: 1,
    atFault: 'image',
    meaning: 'The archive has no member with the requested name.',
    advice: 'Run `vdistream info` to see the names.',
  },
  DISK_AMBIGUOUS: {
    exit: 1,
    atFault: 'image',
    meaning: 'The archive holds several disks, and none was chosen.',
    advice: 'Choose one of them by its name.',
    cli: 'Choose one with --disk NAME. `import --all-disks` imports all of them.',
  },
  DISK_ORDER: {
    exit: 1,
    atFault: 'image',
    meaning:
      'Not all disks of the archive can be read one after another in one pass: a layer of one chain lies between those of another or comes too late, two disks share a parent, or it is not certain which disk a layer belongs to.',
    advice: 'Import each disk on its own, by its name.',
    cli: 'Import each disk on its own, with --disk NAME instead of --all-disks.',
  },
  DISK_DUPLICATE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The archive holds two members with the same name.',
    advice: 'Unpack it, find the right member, and create the archive again with that one only.',
  },
  DISK_EMPTY: { exit: 1, atFault: 'image', meaning: 'The disk in the image is empty.', advice: DAMAGED },
  DISK_SIZE_UNKNOWN: {
    exit: 1,
    atFault: 'image',
    meaning: 'The size of a fixed VHD or raw disk is not known when writing starts, because the stream has no length.',
    advice: 'Pass its virtual size, or the image as a file.',
    cli: 'Pass its size with --virtual-size (`vdistream info` finds it), or the image as a file.',
  },

  RAW_SIZE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The raw disk is longer than the given size.',
    advice: 'Pass the real virtual size.',
    cli: 'Pass the real size with --virtual-size.',
  },

  VHD_FOOTER: { exit: 1, atFault: 'image', meaning: 'The VHD has no footer.', advice: DAMAGED },
  VHD_FOOTER_CHECKSUM: { exit: 1, atFault: 'image', meaning: 'The checksum of the VHD footer is wrong.', advice: DAMAGED },
  VHD_FOOTERS_DIFFER: {
    exit: 1,
    atFault: 'image',
    meaning: 'The footer at the end and its copy at the start describe different disks.',
    advice: 'The VHD was changed while it was copied: export it again. If it is a VHD inside a VHD, pass it uncompressed.',
  },
  VHD_VERSION: {
    exit: 1,
    atFault: 'image',
    meaning: 'The version of the VHD is not supported.',
    advice: 'Convert the image with the program that wrote it.',
  },
  VHD_TYPE: { exit: 1, atFault: 'image', meaning: 'The type of the VHD is unknown, or contradicts its layout.', advice: DAMAGED },
  VHD_DIFFERENCING: {
    exit: 1,
    atFault: 'image',
    meaning: 'The VHD is differencing: it holds only the changes against a parent, and the parent is missing.',
    advice: 'Pass the whole chain: all its files, leaf first, or an archive with 0.vhd (the leaf), 1.vhd and so on.',
  },
  VHD_ENCRYPTED: {
    exit: 1,
    atFault: 'image',
    meaning: 'The VHD was encrypted by tapdisk, and the image does not contain the key.',
    advice: 'Export the disk from the host that has the key.',
  },
  VHD_SIZE: { exit: 1, atFault: 'image', meaning: 'The virtual size is invalid.', advice: DAMAGED },
  VHD_HEADER: { exit: 1, atFault: 'image', meaning: 'The dynamic header is not where the footer says.', advice: DAMAGED },
  VHD_HEADER_OFFSET: {
    exit: 1,
    atFault: 'image',
    meaning: 'The footer has an impossible offset for the dynamic header.',
    advice: DAMAGED,
  },
  VHD_HEADER_CHECKSUM: { exit: 1, atFault: 'image', meaning: 'The checksum of the dynamic header is wrong.', advice: DAMAGED },
  VHD_BLOCK_SIZE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The block size is not a power of two from 512 bytes to 256 MiB.',
    advice: DAMAGED,
  },
  VHD_TABLE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The block allocation table (BAT) has fewer entries than the disk has blocks.',
    advice: DAMAGED,
  },
  VHD_TABLE_OFFSET: {
    exit: 1,
    atFault: 'image',
    meaning: 'The dynamic header has an impossible offset for the BAT.',
    advice: DAMAGED,
  },
  VHD_TABLE_LARGE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The disk has more than 4 Mi blocks, more than any real disk.',
    advice: 'Convert the image to blocks of 2 MiB, for example with qemu-img.',
  },
  VHD_BLOCK_METADATA: { exit: 1, atFault: 'image', meaning: 'A block overlaps the metadata of the VHD.', advice: DAMAGED },
  VHD_BLOCK_OVERLAP: { exit: 1, atFault: 'image', meaning: 'Two blocks of the VHD overlap.', advice: DAMAGED },
  VHD_UNFINISHED: {
    exit: 1,
    atFault: 'image',
    meaning:
      'The last blocks of the dynamic VHD hold nothing, and its footer is missing: it was copied into a file that had its whole length from the start, and the copy was stopped.',
    advice: 'The image is incomplete. Fetch or copy it again.',
  },
  VHD_BLOCK_RANGE: { exit: 1, atFault: 'image', meaning: 'A block extends past the end of the VHD.', advice: DAMAGED },

  EXPORT_IMAGE: {
    exit: 1,
    atFault: 'caller',
    meaning: 'A file to export is not a disk, but an image that holds one: an archive, a compressed file, or another format.',
    advice: 'Write its disk to a file or a volume with `vdistream write` first, and export that.',
    cli: 'Write its disk to a file or a volume with `vdistream write` first, and export that. --raw exports the file as it is.',
  },
  EXPORT_SIZE: {
    exit: 1,
    atFault: 'caller',
    meaning: 'A VHD cannot hold a disk of this size, or not with blocks of this size.',
    advice: 'A VHD holds up to 2040 GiB. Use larger blocks, up to 2 MiB, or export a raw disk.',
  },
  EXPORT_CHANGED: {
    exit: 1,
    atFault: 'source',
    remedies: ['again'],
    meaning: 'The disk changed while it was exported.',
    advice: 'Stop what writes to the disk, or export a snapshot of it.',
  },

  CHAIN_GAP: {
    exit: 1,
    atFault: 'image',
    meaning: 'A layer in the middle of the chain is missing.',
    advice: 'List the archive with `tar -tf`: 0.vhd, 1.vhd and so on must all be there. If not, export it again.',
  },
  CHAIN_TYPE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The numbered disks are not a chain: a disk that should have a parent is not a differencing VHD.',
    advice: 'Choose one disk by its name.',
    cli: 'Choose one disk with --disk NAME.',
  },
  CHAIN_PARENT: {
    // Exit status 1, not 3: in a stream the child is already written when its parent arrives.
    exit: 1,
    atFault: 'image',
    guard: 'parent',
    meaning: 'A layer was created over a different parent than the one in the image. Together they make a corrupt disk.',
    advice: 'Find the right parent. A chain that was relinked by number only (as Nova does) can still be written if the guard is lifted.',
    cli: 'Find the right parent. A chain that was relinked by number only (as Nova does) can still be written: --force=parent.',
  },
  CHAIN_RAW_SIZE: {
    exit: 1,
    atFault: 'image',
    guard: 'parent',
    meaning: 'The raw base of a chain is smaller than the layer over it. It may be truncated, or belong to another disk.',
    advice:
      'Copy the raw disk again. If the disk was enlarged after the layer was created, it can still be written if the guard is lifted.',
    cli: 'Copy the raw disk again. If the disk was enlarged after the layer was created, it can still be written: --force=parent.',
  },
  CHAIN_LOOP: {
    exit: 1,
    atFault: 'image',
    meaning: 'The parent of a layer is the layer itself, or a layer above it.',
    advice: DAMAGED,
  },
  CHAIN_ORDER: {
    exit: 1,
    atFault: 'image',
    meaning: 'A parent precedes the leaf, so the size of the disk is not known in time, or not which layer is over which.',
    advice:
      'Pass the layers leaf first, or an archive as an uncompressed file. If only the size is missing: its virtual size, or a staging folder to keep the layers in.',
    cli: 'Pass the layers leaf first, or an archive as an uncompressed file. If only the size is missing: its virtual size (--virtual-size), or a folder to keep the layers in (--staging).',
  },
  CHAIN_SIZE: {
    exit: 1,
    atFault: 'image',
    meaning: 'The leaf of the chain does not have the expected virtual size.',
    advice: 'Pass the virtual size that `vdistream info` prints.',
  },
  CHAIN_DEEP: {
    exit: 1,
    atFault: 'image',
    meaning: 'The chain has more layers than any host creates.',
    advice: 'Coalesce the chain on the host it comes from. XenServer itself allows 30 layers.',
  },

  STAGING: {
    exit: 1,
    atFault: 'host',
    meaning: 'The staging folder could not be used.',
    advice: 'Choose a folder with room for the image, or for the uncompressed layers of a chain.',
  },
  STRICT: {
    exit: 1,
    atFault: 'image',
    meaning: 'The image causes a warning, and a strict call makes it an error.',
    advice: 'Export the image again, or do not be strict: then it is only a warning.',
    cli: 'Export the image again, or omit --strict to continue with a warning.',
  },

  HTTP_CONNECT: {
    exit: 1,
    atFault: 'source',
    remedies: ['again'],
    meaning: 'The server could not be reached.',
    advice: 'Check the address, and that the service runs and is reachable from this host.',
  },
  HTTP_TLS: {
    exit: 1,
    atFault: 'source',
    remedies: ['elsewhere'],
    meaning: 'The certificate of the server is not trusted, or server and client share no TLS version.',
    advice: 'Pass the certificate of the authority that signed it, as `ca`. Verification cannot be turned off.',
    cli: 'Pass the certificate of the authority that signed it: --ca FILE. Verification cannot be turned off.',
  },
  HTTP_AUTH: {
    exit: 1,
    atFault: 'caller',
    meaning: 'The server rejected the credentials, or requires some.',
    advice: 'Tokens expire: get a new one, and pass it in the headers.',
    cli: 'Tokens expire: get a new one, and pass it with --headers (for Glance, also in OS_TOKEN).',
  },
  HTTP_NOT_FOUND: {
    exit: 1,
    atFault: 'source',
    remedies: ['elsewhere'],
    meaning: 'The server does not have the image.',
    advice: 'Check the ID or the address.',
  },
  HTTP_STATUS: {
    exit: 1,
    atFault: 'source',
    remedies: ['elsewhere'],
    meaning: 'The server answered with an error status that a retry will not change.',
    advice: 'The message has the status. Check the log of the server.',
  },
  HTTP_SERVER: {
    exit: 1,
    atFault: 'source',
    remedies: ['again'],
    meaning: 'The server failed or was too busy, on every attempt.',
    advice: 'Check the log of the server, and try again later.',
  },
  HTTP_REDIRECT: {
    exit: 1,
    atFault: 'source',
    remedies: ['elsewhere'],
    meaning: 'The server redirected too often, or to an address that is refused: another scheme, or a public server to this host itself.',
    advice: 'Pass the final address.',
  },
  HTTP_DROPPED: {
    exit: 1,
    atFault: 'source',
    remedies: ['again', 'anew'],
    meaning: 'The connection dropped or stalled, again and again.',
    advice: 'Check the network between this host and the server.',
  },
  HTTP_SHORT: {
    exit: 1,
    atFault: 'source',
    remedies: ['elsewhere'],
    meaning: 'The server announced more bytes than it has: each request for the rest ended, or fell silent, at the same byte.',
    advice: "The image in the server's storage is truncated, or still being uploaded. Check its size there, and upload it again.",
  },
  HTTP_RANGE: {
    exit: 1,
    atFault: 'source',
    remedies: ['anew'],
    meaning: 'The connection dropped, and the server does not support resuming the download.',
    advice: 'Try again. With a staging folder the whole image is fetched first, and the download restarts if it has to.',
    cli: 'Try again. With --staging DIR the whole image is fetched first, and the download restarts if it has to.',
  },
  HTTP_CHANGED: {
    exit: 1,
    atFault: 'source',
    remedies: ['anew'],
    meaning: 'The connection dropped, and the image on the server has changed since.',
    advice: 'Try again once the upload has finished.',
  },
  NBD_CONNECT: {
    exit: 1,
    atFault: 'source',
    remedies: ['again'],
    meaning: 'The NBD server could not be reached.',
    advice: 'Check the address, and that the server runs and is reachable from this host.',
  },
  NBD_TLS: {
    exit: 1,
    atFault: 'source',
    meaning: 'The connection to the NBD server could not be encrypted: its certificate is not trusted, or only one side uses TLS.',
    advice: 'Pass the certificate of the authority that signed it, as `ca`. Verification cannot be turned off.',
    cli: 'Pass the certificate of the authority that signed it: --ca FILE. Verification cannot be turned off.',
  },
  NBD_REFUSED: {
    exit: 1,
    atFault: 'caller',
    meaning: 'The NBD server does not have the export, or refuses to serve it.',
    advice: 'Check the name of the export: nbdinfo and qemu-nbd can list those of a server.',
  },
  NBD_PROTOCOL: {
    exit: 1,
    atFault: 'source',
    meaning: 'What answers is no NBD server, or it broke the protocol.',
    advice: 'Check the port. If it is that of an NBD server, the server has a bug: nothing that it sent was used.',
  },
  NBD_IO: {
    exit: 1,
    atFault: 'source',
    meaning: 'The NBD server could not read its disk.',
    advice: 'Check the log of the server, and the storage of the disk.',
  },
  NBD_DROPPED: {
    exit: 1,
    atFault: 'source',
    remedies: ['again'],
    meaning: 'The connection to the NBD server dropped or stalled, again and again.',
    advice: 'Check the network between this host and the server, and the log of the server.',
  },

  GLANCE_ANSWER: {
    exit: 1,
    atFault: 'source',
    remedies: ['elsewhere'],
    meaning: 'The answer did not come from an image service.',
    advice: 'Check the endpoint: it must be the base address, without /v2.',
  },
  GLANCE_STATUS: {
    exit: 1,
    atFault: 'source',
    meaning: 'The image is not active, so it has no data to fetch.',
    advice: 'Check `openstack image show`: wait until the image is active, or upload it again.',
  },
  GLANCE_NOT_QUEUED: {
    exit: 1,
    atFault: 'target',
    meaning: 'The image is not queued, so no data can be uploaded to it.',
    advice: 'Check `openstack image show`: it may have data already, or another upload may be running. Upload to a new image.',
    cli: 'Check `openstack image show`: it may have data already, or another upload may be running. Create a new image with --create.',
  },
  UPLOAD_REFUSED: {
    exit: 1,
    atFault: 'target',
    meaning: 'The server refused the upload, with a status that a retry will not change.',
    advice: 'The message has the status. Check the log of the server.',
  },
  UPLOAD_TOO_LARGE: {
    exit: 1,
    atFault: 'target',
    meaning: 'The server refused the image because of its size: its storage is full, or a limit or a quota is exceeded.',
    advice: 'Free space, or raise the quota or the limit (for Glance, image_size_cap). A compressed image is smaller.',
    cli: 'Free space, or raise the quota or the limit (for Glance, image_size_cap). --compress=gzip:6 makes a smaller image.',
  },
  UPLOAD_LENGTH: {
    exit: 1,
    atFault: 'target',
    meaning: 'The server, or a proxy in front of it, accepts no upload whose length is not known beforehand.',
    advice: 'Upload without compression, so that the length is known. Under uWSGI, Glance needs http-chunked-input.',
    cli: 'Export to a file first and upload that (--as-is), or use --compress=none. Under uWSGI, Glance needs http-chunked-input.',
  },
  UPLOAD_CHECKSUM: {
    exit: 1,
    atFault: 'target',
    meaning: 'What the image service has stored differs from what was sent.',
    advice: 'Delete the image and upload it again. If it happens twice, suspect the store or a proxy.',
  },
  UPLOAD_UNKNOWN: {
    exit: 1,
    atFault: 'target',
    meaning: 'Everything was sent, but it is not known whether the image service has stored it.',
    advice: 'Check `openstack image show`: an image that becomes active is complete. If it stays in `saving`, delete it.',
  },
  CACHE: {
    exit: 1,
    atFault: 'host',
    meaning: 'The cache folder could not be used.',
    advice: 'Choose a folder on a local file system that this user can write to.',
  },

  XE_MISSING: {
    exit: 1,
    atFault: 'host',
    meaning: 'The xe program was not found.',
    advice: 'Run this in Dom0, or pass the path of the program.',
    cli: 'Run this in Dom0, or pass the path of the program: --xe PATH.',
  },
  XE_CONNECTION: {
    exit: 1,
    atFault: 'toolstack',
    remedies: ['again'],
    meaning: 'The toolstack does not answer: xapi is down, restarting, or its master cannot be reached.',
    advice: 'Check `xe host-list`, `systemctl status xapi`, and whether the root file system is full.',
  },
  XE_TIMEOUT: {
    exit: 1,
    atFault: 'toolstack',
    remedies: ['again'],
    meaning: 'An xe command timed out. xapi may still be working on it.',
    advice: 'Check `xe task-list` and /var/log/SMlog. Once the task has ended, `vdistream reap` removes what it left behind.',
  },
  XE_FAILED: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'An xe command failed for a reason that has no code in this table.',
    advice: 'The message quotes xapi. Check /var/log/xensource.log and /var/log/SMlog.',
  },
  XE_UUID: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'No object has this UUID, or it has been removed since.',
    advice: 'Check `xe sr-list` and `xe vdi-list`.',
  },
  XAPI_CONNECTION: {
    exit: 1,
    atFault: 'toolstack',
    remedies: ['again'],
    meaning: 'A host of the pool cannot be reached, closed the connection, or did not answer in time. It may still be working on the call.',
    advice: 'Check the address, and whether xapi runs there: `systemctl status xapi`.',
  },
  XAPI_TLS: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The certificate of a host is not trusted, or has another fingerprint. Nothing was sent to that host.',
    advice:
      'Pass the certificate that signed it, as `ca`, or the SHA-256 of that of each host in `fingerprints`. Verification cannot be turned off.',
    cli: 'Pass the certificate that signed it with --ca FILE, or the SHA-256 of that of each host with --fingerprint. Verification cannot be turned off.',
  },
  XAPI_LOGIN: {
    exit: 1,
    atFault: 'caller',
    meaning: 'XAPI rejected the user, the password or the session, or the user may not import disks.',
    advice: 'Check the credentials. With role-based access control, an import needs the role VM admin.',
  },
  XAPI_FAILED: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'XAPI refused a call, or a transfer failed, for a reason that has no code in this table.',
    advice: 'The message quotes XAPI. Check /var/log/xensource.log and /var/log/SMlog of the host.',
  },
  DOM0_UNKNOWN: {
    exit: 1,
    atFault: 'host',
    meaning: 'The UUID of the control domain could not be found.',
    advice: 'Run this in Dom0, where /etc/xensource-inventory has it.',
  },
  SR_FULL: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The storage repository has no room for the disk.',
    advice: 'Free some space, or choose another SR. See `xe sr-list params=name-label,physical-size,physical-utilisation`.',
    cli: 'Free some space, or choose another SR with --sr. See `xe sr-list params=name-label,physical-size,physical-utilisation`.',
  },
  SR_UNAVAILABLE: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The storage repository is not attached to this host, or its storage does not answer.',
    advice: 'Find its PBD with `xe pbd-list sr-uuid=SR` and plug it. If that fails, check /var/log/SMlog.',
  },
  SR_UNSUPPORTED: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'This type of storage repository does not support the operation.',
    advice: 'An SR of type iscsi, hba, iso or udev cannot create disks. Attach a disk yourself and write to its device.',
    cli: 'An SR of type iscsi, hba, iso or udev cannot create disks. Attach a disk yourself and pass it with --device.',
  },
  VDI_SIZE: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The storage repository cannot hold a disk of this size.',
    advice: 'A VHD on XenServer is limited to 2040 GiB. Use a raw VDI, or another type of SR.',
    cli: 'A VHD on XenServer is limited to 2040 GiB. Use --raw-vdi, or another type of SR.',
  },
  VDI_BUSY: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The VDI is in use.',
    advice:
      'Find what uses it with `xe vbd-list vdi-uuid=VDI`. To export a disk in use, export a snapshot of it: `xe vdi-snapshot uuid=VDI`.',
  },
  VDI_UNAVAILABLE: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The storage cannot attach the VDI, perhaps because it was not detached cleanly.',
    advice:
      'Check /var/log/SMlog. If another host has the VDI attached, export a snapshot of it (`xe vdi-snapshot uuid=VDI`). After a crash, the resetvdis tool of the storage manager clears the stale state.',
  },
  VBD_DETACH: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The VBD could not be unplugged from the control domain: something still has the device open.',
    advice:
      'Find the device with `xe vbd-list uuid=VBD params=device`, and what holds it with `fuser -v /dev/DEVICE`. Then run `vdistream reap`.',
  },
  DEVICE_MISSING: {
    exit: 1,
    atFault: 'toolstack',
    meaning: 'The VBD was plugged, but its block device did not appear.',
    advice: 'Check the kernel log (dmesg) and /var/log/SMlog.',
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
    meaning: 'The target is mounted, in use by another program, or served to a guest.',
    advice: 'Unmount it, or stop what uses it. See `lsblk`, `losetup -a`, `fuser -v` and `xl block-list`.',
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
    meaning: 'The target contains a VHD, which raw data would destroy.',
    advice: 'Write to the device of the plugged VBD, not to the logical volume or file under it.',
  },
  TARGET_CONTENT: {
    exit: 3,
    atFault: 'target',
    guard: 'content',
    meaning: 'The target is not empty: it holds a file system, a volume, a partition table, an image or other data.',
    advice: 'Check that the path is right. What the target holds would be lost.',
  },
  TARGET_WRITE: { exit: 1, atFault: 'target', meaning: 'Writing to the target failed.', advice: DEVICE },
  TARGET_READ: { exit: 1, atFault: 'target', meaning: 'Reading the target back failed.', advice: DEVICE },
  TARGET_SYNC: {
    exit: 1,
    atFault: 'target',
    meaning: 'The target could not be synced: not all data may be on the medium.',
    advice: DEVICE,
  },
  TARGET_FULL: {
    exit: 1,
    atFault: 'target',
    meaning: 'No space is left on the target.',
    advice: 'Free space on the storage (a thin volume can fill up before its end), then write again.',
  },
  VERIFY_MISMATCH: {
    exit: 4,
    atFault: 'target',
    meaning: 'The target differs from the image.',
    advice: 'Write it again. If it happens twice, suspect the storage.',
  },
} as const satisfies Record<string, Kind>;

/** The guards that a caller can lift. */
export const GUARDS = [...new Set(Object.values(ERRORS).flatMap((kind) => ('guard' in kind ? [kind.guard] : [])))];

export type ErrorCode = keyof typeof ERRORS;

/**
 * Where an error applies. `offset` counts bytes of the member (or the bare VHD); for TAR_… bytes of the archive, for SOURCE_READ and
 * COMPRESSION_… bytes of the source as stored, and for a target bytes of the device.
 */
interface Where {
  readonly member?: string | undefined;
  readonly offset?: number | undefined;
  readonly errno?: number | undefined;
  readonly device?: string | undefined;
  /** The error code from xapi, such as SR_BACKEND_FAILURE_44. */
  readonly xapi?: string | undefined;
  /** The HTTP status. */
  readonly status?: number | undefined;
  /** In place of that of the table, where more is known about this case. Names no option of the command line. */
  readonly advice?: string | undefined;
  /** No guard can be lifted here. */
  readonly final?: boolean | undefined;
  readonly cause?: unknown;
}

/** The only error this library throws on purpose. Anything else is a bug. */
export class VdiStreamError extends Error {
  override readonly name = 'VdiStreamError';
  readonly code: ErrorCode;
  readonly errno: number | undefined;
  readonly device: string | undefined;
  readonly xapi: string | undefined;
  readonly status: number | undefined;
  /** What the clean-up could not undo, one sentence each. */
  readonly left: string[] = [];
  // The archive reader sets these on errors from inside a member.
  member: string | undefined;
  offset: number | undefined;
  /** What to do about it. Set where the sources or the target say more than the table. */
  advice: string;

  /** The name of the guard that refused, if one did. */
  readonly guard: Guard | undefined;

  /** A message is one line: other programs are quoted in some. */
  constructor(code: ErrorCode, message: string, where: Where = {}) {
    super(oneLine(message), where.cause === undefined ? undefined : { cause: where.cause });
    this.code = code;
    const kind: Kind = ERRORS[code];
    this.guard = where.final ? undefined : kind.guard;
    this.advice = where.advice === undefined ? ERRORS[code].advice : oneLine(where.advice);
    this.member = where.member;
    this.offset = where.offset;
    this.errno = where.errno;
    this.device = where.device;
    this.xapi = where.xapi;
    this.status = where.status;
  }

  get atFault(): AtFault {
    return ERRORS[this.code].atFault;
  }

  hasRemedy(remedy: Remedy): boolean {
    const kind: Kind = ERRORS[this.code];
    return kind.remedies?.includes(remedy) === true;
  }

  /** Whether the same call may succeed if it is repeated unchanged. */
  get retryable(): boolean {
    return this.hasRemedy('again') || this.hasRemedy('anew');
  }

  get exitCode(): Kind['exit'] {
    return ERRORS[this.code].exit;
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

/** Names from an image, a server or a command line may be in it. */
const oneLine = (text: string): string => printable(/[\r\n]/.test(text) ? text.trim().replace(/\s*[\r\n]\s*/g, ' ') : text);

/** What the command line says about an error, or a finding of a check: with its options, unless the case has an advice of its own. */
export function cliAdvice({ code, advice }: { readonly code: string; readonly advice: string }): string {
  const kind = KINDS.get(code);
  return advice === kind?.advice ? (kind.cli ?? advice) : advice;
}

const KINDS: ReadonlyMap<string, Kind> = new Map(Object.entries(ERRORS));

/** Whether `error` is a VdiStreamError with this `atFault` and this remedy. */
export const hasRemedy = (error: unknown, atFault: AtFault, remedy: Remedy): error is VdiStreamError =>
  error instanceof VdiStreamError && error.atFault === atFault && error.hasRemedy(remedy);

/** Handles a fault that reading can continue past. */
export type OnFault = (error: VdiStreamError) => void;

export const refuse: OnFault = (error) => {
  throw error;
};

/** Throws CANCELLED if the signal has fired; the signal's reason is the cause. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new VdiStreamError('CANCELLED', 'cancelled', { cause: signal.reason });
}

/**
 * What a call rejects with: CANCELLED for any error once the signal has fired, since the cancellation caused it; MEMORY if the host refused
 * memory, wherever that was; otherwise `error`. Keeps `left`.
 */
export function rejection(error: unknown, signal?: AbortSignal): unknown {
  const found = error instanceof VdiStreamError ? error : undefined;
  if (found?.code === 'CANCELLED') return found;
  const typed = signal?.aborted ? new VdiStreamError('CANCELLED', 'cancelled', { cause: error }) : memoryError(error, found);
  if (typed === undefined) return error;
  typed.left.push(...(found?.left ?? []));
  return typed;
}

function memoryError(error: unknown, { code, member, offset, device }: Partial<VdiStreamError> = {}): VdiStreamError | undefined {
  if (code === 'MEMORY' || !isNoMemory(error)) return undefined;
  return new VdiStreamError('MEMORY', messageOf(error), { member, offset, device, errno: ENOMEM, cause: error });
}

const ENOMEM = 12;
/** V8's messages for an ArrayBuffer and for WebAssembly, and Node's for a Buffer. */
const NO_MEMORY = /^(?:Array buffer allocation failed|Failed to allocate memory|WebAssembly\..*(?:could not allocate|out of memory))/i;
const MAX_CAUSES = 16;

/** Whether V8 or the kernel refused memory for it, or for one of its causes. */
function isNoMemory(error: unknown): boolean {
  let cause = error;
  for (let depth = 0; cause instanceof Error && depth < MAX_CAUSES; depth++) {
    if (NO_MEMORY.test(cause.message) || Math.abs(Number(Reflect.get(cause, 'errno'))) === ENOMEM) return true;
    cause = cause.cause;
  }
  return false;
}

export const leftOf = (error: unknown): readonly string[] => (error instanceof VdiStreamError ? error.left : []);

/**
 * The error with what the clean-up after it could not undo. Only a VdiStreamError has `left`, and a callback of the caller may throw anything.
 */
export function withLeft(error: unknown, left: readonly string[]): unknown {
  if (left.length === 0) return error;
  const typed = error instanceof VdiStreamError ? error : new VdiStreamError('XE_FAILED', messageOf(error), { cause: error });
  typed.left.push(...left);
  return typed;
}

/** The first error, with what the clean-up after it could not undo. */
export const afterCleanUp = (error: unknown, cleanUp: () => Promise<void>): Promise<unknown> =>
  cleanUp().then(
    () => error,
    (failure: unknown) => withLeft(error, leftOf(failure)),
  );

/** Whether an error is about the content of the source, not about the source itself. A member may be compressed too. */
export const isOfImage = ({ atFault, member }: VdiStreamError): boolean => atFault === 'image' || member !== undefined;

/** Sets the member on an error from inside it, unless the error already names one. */
export function inMember(member: string | undefined, error: unknown): unknown {
  if (error instanceof VdiStreamError && isOfImage(error)) error.member ??= member;
  return error;
}

/** Makes the offset of an error relative to `start`. */
export function fromStart(start: number, error: unknown): unknown {
  if (error instanceof VdiStreamError && isOfImage(error) && error.offset !== undefined) error.offset -= start;
  return error;
}

/** The message of anything that was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** For the default branch of an exhaustive switch. An assertion, not a typed error: only a bug gets here. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}

/** Checks our own logic; never use it on external data. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
