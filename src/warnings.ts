/** Warnings, and the table of them; `docs/errors.md` is generated from it. */

import { type AtFault, VdiStreamError } from './errors.ts';
import { printable } from './quote.ts';

/** Something unusual that does not stop the work. */
export interface Warning {
  readonly code: WarningCode;
  readonly message: string;
  readonly member?: string | undefined;
  readonly offset?: number | undefined;
}

interface WarningKind {
  /** `--strict` turns only warnings about the image into errors. */
  readonly about: Exclude<AtFault, 'caller'>;
  readonly meaning: string;
}

export const WARNINGS = {
  TAR_END_MISSING: { about: 'image', meaning: 'The tar ends without its two end blocks. All members are complete.' },
  TAR_TRAILING: { about: 'image', meaning: 'The end of the tar is followed by bytes other than padding. They are ignored, as tar does.' },
  VHD_FOOTER_END: {
    about: 'image',
    meaning: 'The footer at the end is damaged, missing, or differs from its copy at the start. The copy is used, as XenServer does.',
  },
  VHD_TIMESTAMP: {
    about: 'image',
    meaning: 'The timestamp of the footer is in the future. XenServer refuses such a VHD in an SR; the data of the disk is not affected.',
  },
  VHD_FEATURES: {
    about: 'image',
    meaning: 'The footer has feature bits that no version of the format defines, or lacks the bit that must be set.',
  },
  VHD_UNIQUE_ID: { about: 'image', meaning: 'The VHD has no unique ID, so no child can refer to it.' },
  VHD_HIDDEN: {
    about: 'image',
    meaning:
      'The leaf is flagged as hidden, as tapdisk does with parents: in an SR it would be garbage-collected. Or the flag has a value that XenServer refuses.',
  },
  VHD_TABLE_SPARE: { about: 'image', meaning: 'The BAT has entries in use past the end of the disk. They are ignored.' },
  VHD_BATMAP: {
    about: 'image',
    meaning:
      'The batmap is missing or damaged, or lists blocks as full that are not allocated or whose bitmaps are not full. The bitmaps are used.',
  },
  VHD_LOCATOR: {
    about: 'image',
    meaning: 'A parent locator is of an unknown kind, or points outside the file. Locators are never followed.',
  },
  MORE_FINDINGS: { about: 'image', meaning: 'There are more findings of this kind than the list shows.' },
  VHD_STRAY: {
    about: 'image',
    meaning:
      'The VHD has bytes that are not zero and belong to no part of it: no block, table, batmap, locator or footer. A download that was resumed at the wrong place looks like this, and then the disk is damaged.',
  },
  VHD_EMPTY_TAIL: {
    about: 'image',
    meaning:
      'The last blocks of the file have bitmaps without a set bit, so they read as zero. A copy that was stopped half way looks like this, and so does the VHD of a host that crashed.',
  },
  VHD_LONGER: {
    about: 'image',
    meaning:
      'The file is longer than the VHD: zeros follow its footer, or are between the data of a fixed disk and its footer. The disk has the size that the footer says.',
  },
  VHD_DEVICE_REST: {
    about: 'source',
    meaning: 'The device that holds the VHD is larger than the VHD. The other bytes are not part of the disk.',
  },
  VHD_BLOCK_SHORT: {
    about: 'image',
    meaning: 'The last block is stored only up to the end of the disk. XenServer and other programs may refuse the VHD.',
  },
  VHD_RESERVED: {
    about: 'image',
    meaning:
      'A field that this type of VHD does not use has a value. XenServer refuses such a VHD in an SR; the data of the disk is not affected.',
  },
  VHD_VERSION: {
    about: 'image',
    meaning: 'The VHD has a minor version that XenServer refuses, or was made by a later tapdisk. The data of the disk is not affected.',
  },
  VHD_GEOMETRY: { about: 'image', meaning: 'The CHS geometry describes a larger disk than the size field. The size field is used.' },
  VHD_SAVED_STATE: { about: 'image', meaning: 'The VHD belongs to a suspended VM. Its file systems may not be clean.' },
  CHAIN_PARENT: { about: 'image', meaning: 'A layer was created over a different parent, and the guard against that was lifted.' },
  CHAIN_RAW_SIZE: {
    about: 'image',
    meaning: 'The raw base of a chain is smaller than the layer over it, and the guard against that was lifted. The rest reads as zeros.',
  },
  CHAIN_TIMESTAMP: {
    about: 'image',
    meaning: 'A layer was created before its parent was. The parent may have been replaced by another disk with the same unique ID.',
  },
  OVF_ODD: {
    about: 'image',
    meaning:
      'The OVF descriptor is odd in something that no disk depends on: a unit, a size, an ID, its encoding, the case of a file name.',
  },
  DISK_LEFT_OUT: {
    about: 'image',
    meaning:
      'Of all disks of an archive, this one is left out: the OVF descriptor does not list it, or lists it without a file, as a disk that starts empty.',
  },
  MANIFEST_LATE: {
    about: 'image',
    meaning: 'The manifest came after a member that had been read without a digest, so that member was not checked.',
  },
  RAW_PADDED: { about: 'image', meaning: 'The size of the raw disk is not a multiple of 512 bytes. The last sector is padded with zeros.' },
  FETCHED_TWICE: {
    about: 'source',
    meaning:
      'The size of the disk came too late to write it: the leaf of a chain came after its parent, and its size could not be assumed or had been assumed wrongly; or a fixed VHD or a raw disk is compressed, and its size is at its end. So the image was fetched twice. The size, or a cache, avoids that; for a chain, a staging folder does too.',
  },
  HTTP_RETRY: {
    about: 'source',
    meaning: 'The server did not answer, or the connection dropped. The request is retried, and the download resumes where it stopped.',
  },
  NBD_RETRY: {
    about: 'source',
    meaning: 'The connection to an NBD server dropped. It is made again, and what was not answered is requested again.',
  },
  LOCK_WAIT: {
    about: 'host',
    meaning:
      'Another process holds a lock that this one waits for: to plug or unplug, to create the VBD of an export, to remove VDIs, or to fetch the same image into a cache.',
  },
  LOG_WRITE: {
    about: 'host',
    meaning:
      'A line could not be written to the log, because its file system is full, for example. The work continues, and so does the log if it can.',
  },
  VBD_RETRY: {
    about: 'toolstack',
    meaning: 'Something has the device of the VDI open. Its VBD is unplugged as soon as the device is closed.',
  },
  REAP_LEFT: {
    about: 'toolstack',
    meaning:
      'A VDI left behind by a killed import, or a VBD left behind by a killed export, could not be removed from this storage repository.',
  },
  DEVICE_NOT_ATTACHED: {
    about: 'toolstack',
    meaning:
      'The device of an import belongs to no VBD that is plugged into this Dom0 for writing, or the toolstack could not be asked. All guards apply to it.',
  },
  TARGET_BUFFERED: {
    about: 'target',
    meaning: 'The file system of the target does not support O_DIRECT, so synchronous buffered writes are used.',
  },
  DISK_WRITTEN: {
    about: 'source',
    meaning: 'A disk was written to while it was exported. Export a snapshot of it, or stop what writes.',
  },
  UPLOAD_ANSWER_LOST: {
    about: 'target',
    meaning:
      'The answer of the image service to an upload was lost, but the image is active, and its size and checksum were compared as usual.',
  },
  UPLOAD_UNCOMPARED: {
    about: 'target',
    meaning:
      'What the image service has stored was not compared by a checksum: it has another one than was computed while sending, or none, or the token had expired by then.',
  },
  GLANCE_UNCOMPARED: {
    about: 'source',
    meaning:
      'The image service has a digest of the image that cannot be computed here, so what was fetched was compared with a weaker one, or not at all.',
  },
  VERIFY_CACHED: {
    about: 'target',
    meaning:
      'Part of the target stayed in the page cache, so it was compared there and not on the medium. It matched, but does not count as verified.',
  },
} as const satisfies Record<string, WarningKind>;

export type WarningCode = keyof typeof WARNINGS;
export type OnWarning = (warning: Warning) => void;

/** Collects the warnings of one call; each message is one line. With `strict`, a warning about the image throws STRICT. */
export function warner(
  warnings: Warning[],
  { strict, onWarning }: { readonly strict?: boolean | undefined; readonly onWarning?: OnWarning | undefined },
): OnWarning {
  return (given) => {
    const warning = { ...given, message: printable(given.message) };
    warnings.push(warning);
    onWarning?.(warning);
    const { code, message, member, offset } = warning;
    if (strict && WARNINGS[code].about === 'image') throw new VdiStreamError('STRICT', `${message} (${code})`, { member, offset });
  };
}
