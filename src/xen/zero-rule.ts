/**
 * Whether a new VDI reads as zero: xapi's own rule (xen-api: ocaml/xapi/sm_fs_ops.ml, `must_write_zeroes_into_new_vdi`). Unwritten parts of
 * a VHD read as zero; a raw logical volume still holds its previous owner's data.
 */

import type { ImportToolstack } from './toolstack.ts';

const LVM: readonly string[] = ['lvm', 'lvmoiscsi', 'lvmohba'];

/** Whether SRs of this type, in lower case, keep VDIs in logical volumes. */
export const isLvm = (type: string): boolean => LVM.includes(type);

interface StorageKind {
  /** Of the SR, in lower case. */
  readonly type: string;
  /** The VDI's own sm-config type=raw. */
  readonly raw: boolean;
  /** The SR's sm-config. */
  readonly smConfig: ReadonlyMap<string, string>;
}

/** The rule itself, without I/O. */
export function readsZero({ type, raw, smConfig }: StorageKind): boolean {
  if (type === 'cslg') return false;
  if (type === 'equal') return ![...smConfig].some((pair) => pair.join(': ').toLowerCase() === 'allocation: thick');
  return !isLvm(type) || (!raw && smConfig.get('use_vhd') === 'true');
}

/** Applies the rule to an SR. Throws XE_UUID for an SR that does not exist. */
export async function newDisksReadZero(
  toolstack: Pick<ImportToolstack, 'srType' | 'srConfig'>,
  sr: string,
  raw: boolean,
  signal?: AbortSignal,
): Promise<boolean> {
  const type = (await toolstack.srType(sr, signal)).toLowerCase();
  const dependsOnConfig = isLvm(type) || type === 'equal';
  const smConfig = dependsOnConfig ? await toolstack.srConfig(sr, signal) : new Map<string, string>();
  return readsZero({ type, raw, smConfig });
}
