/** Warnings: what is worth knowing but did not stop the work, and the table of them, which is the source of `docs/errors.md`. */

import { type AtFault, VdiStreamError } from './errors.ts';

/** Something worth knowing that did not stop the work. */
export interface Warning {
  readonly code: WarningCode;
  readonly message: string;
  readonly member?: string | undefined;
  readonly offset?: number | undefined;
}

interface WarningKind {
  /** Only what is odd about the image is an error with `--strict`. */
  readonly about: Exclude<AtFault, 'caller' | 'host'>;
  readonly meaning: string;
}

/** What can be odd about an image or a target without being wrong, with what it means. */
export const WARNINGS = {
  TAR_END_MISSING: { about: 'image', meaning: 'The tar ends without its two end blocks. Every member is whole.' },
  TAR_TRAILING: { about: 'image', meaning: 'Bytes other than padding follow the end of the tar. They are ignored, as tar does.' },
  VHD_FOOTER_END: {
    about: 'image',
    meaning: 'The footer at the end is damaged, missing or unlike its copy in front. The copy is used, as XenServer does.',
  },
  VHD_TIMESTAMP: {
    about: 'image',
    meaning: 'The footer is of a time to come. XenServer refuses such a VHD in a repository; the disk itself is not affected.',
  },
  VHD_FEATURES: {
    about: 'image',
    meaning: 'The footer has feature bits that no version of the format gives a meaning, or lacks the one that is always set.',
  },
  VHD_UNIQUE_ID: { about: 'image', meaning: 'The VHD has no unique id, so no child can name it.' },
  VHD_HIDDEN: {
    about: 'image',
    meaning: 'The leaf is hidden, as tapdisk does with parents. In a repository it would be collected as garbage.',
  },
  VHD_TABLE_SPARE: { about: 'image', meaning: 'The block table has entries in use behind the end of the disk. They are ignored.' },
  VHD_BATMAP: {
    about: 'image',
    meaning: 'The batmap is damaged or says that blocks are full which their bitmaps say are not. The bitmaps count.',
  },
  VHD_LOCATOR: {
    about: 'image',
    meaning: 'A parent locator is of a kind that is not known, or points outside of the file. Locators are never followed.',
  },
  MORE_FINDINGS: { about: 'image', meaning: 'There are more findings of this kind than are listed.' },
  VHD_GEOMETRY: { about: 'image', meaning: 'The CHS geometry describes a larger disk than the size field. The size field counts.' },
  VHD_SAVED_STATE: { about: 'image', meaning: 'The VHD belongs to a suspended machine. Its file systems may not be clean.' },
  CHAIN_PARENT: { about: 'image', meaning: 'A layer was made over another parent, and that guard was lifted.' },
  CHAIN_TIMESTAMP: {
    about: 'image',
    meaning: 'A layer gives another time for its parent than the parent itself does. Copied and relinked chains often do.',
  },
  MANIFEST_LATE: {
    about: 'image',
    meaning: 'The manifest came behind a member that had gone by without a digest, so that member was not checked.',
  },
  RAW_PADDED: { about: 'image', meaning: 'A raw disk ends within a sector of 512 bytes. The rest of the sector is zero.' },
  FETCHED_TWICE: {
    about: 'source',
    meaning: 'The leaf of a chain came behind its parent, and it alone tells the size. A staging folder or a cache saves the second time.',
  },
  HTTP_RETRY: {
    about: 'source',
    meaning: 'A server did not answer, or the connection was lost. It was asked again, and goes on where it broke off.',
  },
  VBD_RETRY: { about: 'toolstack', meaning: 'Something has the device of the VDI open. It is detached as soon as that lets go of it.' },
  REAP_LEFT: {
    about: 'toolstack',
    meaning: 'An import that died has left a disk on this storage repository, and it could not be removed.',
  },
  TARGET_BUFFERED: { about: 'target', meaning: 'The file system of the target refuses O_DIRECT, so synchronous buffered writes are used.' },
} as const satisfies Record<string, WarningKind>;

export type WarningCode = keyof typeof WARNINGS;
export type OnWarning = (warning: Warning) => void;

/** Collects the warnings of one call. With `strict`, one about the image is an error instead: STRICT. */
export function warner(
  warnings: Warning[],
  { strict, onWarning }: { readonly strict?: boolean | undefined; readonly onWarning?: OnWarning | undefined },
): OnWarning {
  return (warning) => {
    warnings.push(warning);
    onWarning?.(warning);
    const { code, message, member, offset } = warning;
    if (strict && WARNINGS[code].about === 'image') throw new VdiStreamError('STRICT', `${message} (${code})`, { member, offset });
  };
}
