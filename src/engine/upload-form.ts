/** What an upload looks like to the image service. */

import { VdiStreamError } from '../errors.ts';
import { type ExportForm, exportForm, type FormOptions } from './export-form.ts';
import { info } from './info.ts';

interface Formats {
  readonly diskFormat: string;
  readonly containerFormat: string;
}

/** By default that of Nova for XenServer: `0.vhd` in a tar, compressed with gzip. Throws USAGE. */
export function uploadForm(given: FormOptions): ExportForm {
  const { format = 'vhd', container = 'tar', compress = container === 'tar' ? 'gzip' : 'none' } = given;
  return exportForm('', { format, container, compress }, 1);
}

/**
 * Glance inspects the content of a bare image, and refuses what its disk format does not say. A fixed VHD looks like a raw disk to it. The
 * names are those of Glance's own configuration, where a VHD in a tar is `ovf`, whatever it is compressed with.
 */
export function formatsOf({ format, container, compress }: ExportForm): Formats {
  const diskFormat = format === 'raw' ? 'raw' : 'vhd';
  if (container !== 'none') return { diskFormat, containerFormat: container === 'ova' ? 'ova' : 'ovf' };
  if (compress !== 'none') return { diskFormat, containerFormat: 'compressed' };
  if (format === 'fixed-vhd') {
    throw new VdiStreamError('USAGE', 'Glance sees a raw disk in a bare fixed VHD: use the format vhd, or the container tar');
  }
  return { diskFormat, containerFormat: 'bare' };
}

/** Of an image that exists. Throws USAGE if its format cannot be detected, and the errors of reading it. */
export async function formatsOfImage(path: string, raw: boolean, signal: AbortSignal | undefined): Promise<Formats> {
  const { kind, compression, disks } = await info(path, { raw, quick: true, signal });
  const isRaw = disks[0]?.type === 'raw';
  const isFixed = disks[0]?.type === 'fixed';
  const container = kind !== 'tar' ? 'none' : /\.ova$/i.test(path) ? 'ova' : 'tar';
  return formatsOf({
    format: isRaw ? 'raw' : isFixed ? 'fixed-vhd' : 'vhd',
    container,
    compress: compression === 'none' ? 'none' : 'gzip',
  });
}
