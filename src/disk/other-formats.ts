/**
 * Formats that are passed by mistake, and what to do with each. The error names them: after "not a VHD" users would look for damage. Those
 * with a magic are in this file; `texts.ts` has those that are text.
 */

import { startsWith } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { textFormat } from './texts.ts';

interface NamedFormat {
  /** A noun phrase with its article. */
  readonly what: string;
  /** What to do with it. Names no option of the command line, which other callers do not have. */
  readonly advice: string;
}

interface OtherFormat extends NamedFormat {
  readonly magic: string;
  /** The byte where the magic lies; 0 by default. */
  readonly at?: number;
}

/** force_size: otherwise qemu rounds the disk up to a size that CHS geometry can express (qemu, block/vpc.c). */
export const CONVERT = 'Convert it first: qemu-img convert -O vpc -o force_size=on IN OUT.vhd';
const PARALLELS = { what: 'a Parallels image', advice: CONVERT };
const RAR = { what: 'a RAR archive', advice: 'Unpack it first (`unrar x FILE`), and pass the image in it.' };

const VMDK_ADVICE = `${CONVERT}. If its data is in other files, keep them in the same folder.`;

export const XVA: NamedFormat = {
  what: 'an XVA (the export of a whole VM)',
  advice:
    'Import the VM with `xe vm-import filename=FILE`. Its disk can be exported as a VHD then: `xe vdi-export uuid=VDI format=vhd filename=OUT.vhd`.',
};

export const OTHER_FORMATS: readonly OtherFormat[] = [
  { what: 'a VHDX image', magic: 'vhdxfile', advice: CONVERT },
  { what: 'a qcow image', magic: 'QFI\xfb\0\0\0\x01', advice: CONVERT },
  { what: 'a qcow2 image', magic: 'QFI\xfb', advice: CONVERT },
  { what: 'a VMDK image', magic: 'KDMV', advice: VMDK_ADVICE },
  { what: 'a VMDK descriptor', magic: '# Disk DescriptorFile', advice: VMDK_ADVICE },
  { what: 'a VDI (VirtualBox) image', magic: '\x7f\x10\xda\xbe', at: 64, advice: CONVERT },
  { what: 'a QED image', magic: 'QED\0', advice: CONVERT },
  ...['WithoutFreeSpace', 'WithouFreSpacExt'].map((magic) => ({ ...PARALLELS, magic })),
  {
    what: 'a VMA (a backup of Proxmox)',
    magic: 'VMA\0',
    advice: 'Extract it on a Proxmox host (`vma extract FILE FOLDER`), and pass the disk in it, which is raw.',
  },
  { what: 'a ZIP archive', magic: 'PK\x03\x04', advice: 'Unpack it first (`unzip FILE`), and pass the image in it.' },
  { what: 'a 7z archive', magic: "7z\xbc\xaf'\x1c", advice: 'Unpack it first (`7z x FILE`), and pass the image in it.' },
  { ...RAR, magic: 'Rar!\x1a\x07' },
];

/** How many first bytes decide: a text must be text in all of them. */
export const FRONT_BYTES = 4096;

/** The format that has these first bytes: FRONT_BYTES of them, or all there are. */
export const otherFormat = (front: Uint8Array): NamedFormat | undefined =>
  OTHER_FORMATS.find(({ magic, at }) => startsWith(front, magic, at)) ?? textFormat(front);

/** Throws FORMAT_OTHER if the first bytes, as for `otherFormat`, are those of another format. */
export function refuseOtherFormat(front: Uint8Array): void {
  const other = otherFormat(front);
  if (other !== undefined) throw formatError(other);
}

export const formatError = ({ what, advice }: NamedFormat): VdiStreamError =>
  new VdiStreamError('FORMAT_OTHER', `this is ${what}, not a VHD`, { offset: 0, advice });
