/**
 * Whether a new VDI reads as zero: xapi's own rule (xen-api: ocaml/xapi/sm_fs_ops.ml, `must_write_zeroes_into_new_vdi`). A VHD reads as
 * zero where it was never written; a raw logical volume holds what its last owner left there.
 */

import type { Toolstack } from './toolstack.ts';

const LVM: readonly string[] = ['lvm', 'lvmoiscsi', 'lvmohba'];

interface StorageKind {
  /** Of the SR, in small letters. */
  readonly type: string;
  /** The VDI's own sm-config type=raw. */
  readonly raw: boolean;
  /** The SR's sm-config. */
  readonly smConfig: ReadonlyMap<string, string>;
}

/** Pure: the rule itself. */
export function readsZero({ type, raw, smConfig }: StorageKind): boolean {
  if (type === 'cslg') return false;
  if (type === 'equal') return ![...smConfig].some((pair) => pair.join(': ').toLowerCase() === 'allocation: thick');
  return !LVM.includes(type) || (!raw && smConfig.get('use_vhd') === 'true');
}

/** Asks the toolstack for what the rule needs. Throws XE_UUID for an SR that does not exist. */
export async function newDisksReadZero(toolstack: Toolstack, sr: string, raw: boolean, signal?: AbortSignal): Promise<boolean> {
  const type = (await toolstack.srType(sr, signal)).toLowerCase();
  const dependsOnConfig = LVM.includes(type) || type === 'equal';
  const smConfig = dependsOnConfig ? await toolstack.srConfig(sr, signal) : new Map<string, string>();
  return readsZero({ type, raw, smConfig });
}
