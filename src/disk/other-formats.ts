/** Formats that are passed by mistake. The error names them: after "not a VHD" users would look for damage. */

import { startsWith } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';

interface OtherFormat {
  /** A noun phrase with its article. */
  readonly what: string;
  readonly magic: string;
  /** The byte where the magic lies; 0 by default. */
  readonly at?: number;
}

export const OTHER_FORMATS: readonly OtherFormat[] = [
  { what: 'a VHDX image', magic: 'vhdxfile' },
  { what: 'a qcow image', magic: 'QFI\xfb' },
  { what: 'a VMDK image', magic: 'KDMV' },
  { what: 'a VMDK descriptor', magic: '# Disk DescriptorFile' },
  { what: 'a VDI (VirtualBox) image', magic: '\x7f\x10\xda\xbe', at: 64 },
  { what: 'a QED image', magic: 'QED\0' },
  ...['WithoutFreeSpace', 'WithouFreSpacExt'].map((magic) => ({ what: 'a Parallels image', magic })),
  { what: 'a ZIP archive', magic: 'PK\x03\x04' },
  { what: 'a 7z archive', magic: "7z\xbc\xaf'\x1c" },
  { what: 'an XVA member list (ova.xml)', magic: '<?xml' },
  ...['<!DOCTYPE html', '<!doctype html', '<html', '<HTML'].map((magic) => ({ what: 'a web page', magic })),
];

/** The format that has these first bytes. */
export const otherFormat = (front: Uint8Array): OtherFormat | undefined =>
  OTHER_FORMATS.find(({ magic, at }) => startsWith(front, magic, at));

/** Throws FORMAT_OTHER if the first bytes are those of another format. */
export function refuseOtherFormat(front: Uint8Array): void {
  const other = otherFormat(front);
  if (other !== undefined) throw new VdiStreamError('FORMAT_OTHER', `this is ${other.what}, not a VHD`, { offset: other.at ?? 0 });
}
