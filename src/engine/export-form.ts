/** What an export looks like: the format of its disks, the archive around them, and its compression. */

import { VdiStreamError } from '../errors.ts';
import { memberPrefix } from '../ova/pack-ova.ts';

export const EXPORT_FORMATS = ['vhd', 'fixed-vhd', 'raw'] as const;
export const CONTAINERS = ['none', 'tar', 'ova'] as const;
export const EXPORT_COMPRESSIONS = ['none', 'gzip'] as const;

/** `vhd` is dynamic: blocks that are all zero are left out. */
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
/** `ova`: a descriptor, the disks and a manifest. */
export type Container = (typeof CONTAINERS)[number];
export type ExportCompression = (typeof EXPORT_COMPRESSIONS)[number];

export interface ExportForm {
  readonly format: ExportFormat;
  readonly container: Container;
  readonly compress: ExportCompression;
}

/** What a caller asks for. */
export type FormOptions = { readonly [Part in keyof ExportForm]?: ExportForm[Part] | undefined };

/** By the end of the name of the output. */
const BY_NAME: ReadonlyArray<readonly [RegExp, Partial<ExportForm>]> = [
  [/\.ova$/i, { container: 'ova' }],
  [/\.(?:tar\.gz|tgz)$/i, { container: 'tar', compress: 'gzip' }],
  [/\.tar$/i, { container: 'tar' }],
  [/\.(?:raw|img)\.gz$/i, { format: 'raw', compress: 'gzip' }],
  [/\.(?:raw|img)$/i, { format: 'raw' }],
  [/\.gz$/i, { compress: 'gzip' }],
];

/**
 * What the caller asks for; else what the name of the output says; else a bare dynamic VHD, not compressed. Throws USAGE for what does not
 * fit together.
 */
export function exportForm(output: string, given: FormOptions, disks: number): ExportForm {
  const [, named = {}] = BY_NAME.find(([pattern]) => pattern.test(output)) ?? [];
  const { container = named.container ?? 'none', compress = named.compress ?? 'none' } = given;
  const { format = named.format ?? 'vhd' } = given;
  if (container === 'none' && disks > 1) {
    throw new VdiStreamError('USAGE', `${disks} disks need an archive: use the container tar or ova`);
  }
  if (container === 'ova' && format === 'raw') throw new VdiStreamError('USAGE', 'an OVA holds VHDs: raw disks need the container tar');
  return { format, container, compress };
}

/** The name of the appliance: that of the output without its endings. */
export function applianceName(output: string): string {
  const base = output.replace(/[?#].*$/, '').replace(/^.*\//, '');
  return base.replace(/(?:\.(?:ova|tar|tgz|gz|vhd|raw|img))+$/i, '');
}

/**
 * The names of the members. A single VHD is `0.vhd`, as Nova expects it: `1.vhd` would be its parent, so several disks have names of another
 * kind.
 */
export function memberNames({ format, container }: ExportForm, appliance: string, disks: number): string[] {
  const ending = format === 'raw' ? 'raw' : 'vhd';
  if (container === 'tar' && disks === 1) return [format === 'raw' ? 'disk.raw' : '0.vhd'];
  const prefix = memberPrefix(appliance);
  return Array.from({ length: disks }, (_, index) => `${prefix}-disk${index + 1}.${ending}`);
}
