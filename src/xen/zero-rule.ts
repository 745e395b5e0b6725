/**
 * Whether a new VDI reads as zero: xapi's own rule (DOMAIN 0.3, 4.3, 4.4). A VHD answers for what was never written; a raw logical
 * volume holds what its last owner left there.
 */

import { VdiStreamError } from '../errors.ts';
import type { Xe } from './xe.ts';

const LVM: readonly string[] = ['lvm', 'lvmoiscsi', 'lvmohba'];

export interface Kind {
  /** Of the SR, in small letters. */
  readonly type: string;
  /** The VDI's own sm-config type=raw. */
  readonly raw: boolean;
  /** The SR's sm-config. */
  readonly smConfig: ReadonlyMap<string, string>;
}

/** Pure: the rule itself. */
export function readsZero({ type, raw, smConfig }: Kind): boolean {
  if (type === 'cslg') return false;
  if (type === 'equal') return ![...smConfig].some((pair) => pair.join(': ').toLowerCase() === 'allocation: thick');
  return !LVM.includes(type) || (!raw && smConfig.get('use_vhd') === 'true');
}

/** Asks the SR for what the rule needs. Throws XE_UUID for one that does not exist, XE_FAILED for an answer that is no type. */
export async function newDisksReadZero(xe: Xe, sr: string, raw: boolean, signal?: AbortSignal): Promise<boolean> {
  const type = (await xe.run('sr-param-get', { uuid: sr, 'param-name': 'type' }, signal)).toLowerCase();
  // The rule knows those that do not read as zero, so anything else would pass for one that does.
  if (!/^[\w-]+$/.test(type)) throw new VdiStreamError('XE_FAILED', `SR ${sr} has no type, but: ${JSON.stringify(type.slice(0, 100))}`);
  const asks = LVM.includes(type) || type === 'equal';
  const smConfig = asks ? parseMap(await xe.run('sr-param-get', { uuid: sr, 'param-name': 'sm-config' }, signal)) : new Map();
  return readsZero({ type, raw, smConfig });
}

/** `k: v; k: v`, as maps are printed. */
export function parseMap(text: string): Map<string, string> {
  const pairs = text.split(';').map((pair) => {
    const colon = pair.indexOf(':');
    return [pair.slice(0, colon).trim(), pair.slice(colon + 1).trim()] as const;
  });
  return new Map(pairs.filter(([key]) => key !== ''));
}
