/** Formats that are passed by mistake. The error names them: after "not a VHD" users would look for damage. */

import { startsWith } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';

const OTHERS: readonly { readonly name: string; readonly magic: string; readonly at?: number }[] = [
  { name: 'VHDX', magic: 'vhdxfile' },
  { name: 'qcow', magic: 'QFI\xfb' },
  { name: 'VMDK', magic: 'KDMV' },
  { name: 'VMDK (descriptor)', magic: '# Disk DescriptorFile' },
  { name: 'VDI (VirtualBox)', magic: '\x7f\x10\xda\xbe', at: 64 },
  { name: 'QED', magic: 'QED\0' },
  { name: 'ZIP', magic: 'PK\x03\x04' },
  { name: '7z', magic: "7z\xbc\xaf'\x1c" },
  { name: 'XVA member list (ova.xml)', magic: '<?xml' },
  ...['<!DOCTYPE html', '<!doctype html', '<html', '<HTML'].map((magic) => ({ name: 'a web page', magic })),
];

/** Throws FORMAT_OTHER if the first bytes are those of another format. */
export function refuseOtherFormat(front: Uint8Array): void {
  const other = OTHERS.find(({ magic, at }) => startsWith(front, magic, at));
  if (other !== undefined) throw new VdiStreamError('FORMAT_OTHER', `this is ${other.name}, not VHD`, { offset: other.at ?? 0 });
}
