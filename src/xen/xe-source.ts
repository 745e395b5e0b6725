/**
 * What a VDI was filled from, through xe. It is noted in the other-config of the VDI, which vdi-create cannot set:
 *
 *   vdistream-source    the digest of the source
 *   vdistream-vdi       uuid of the VDI itself; the other-config of a copy has that of the original
 */

import type { Xe } from './xe.ts';
import { confirmDone } from './xe-confirm.ts';

const SOURCE = 'other-config:vdistream-source';
const OWN = 'other-config:vdistream-vdi';

export async function setSource(xe: Xe, vdi: string, source: string, signal: AbortSignal | undefined): Promise<void> {
  const setting = xe.run('vdi-param-set', { uuid: vdi, [SOURCE]: source, [OWN]: vdi }, signal);
  const isSet = async (): Promise<boolean> => (await xe.list('vdi-list', { uuid: vdi, [SOURCE]: source, [OWN]: vdi })).length > 0;
  await confirmDone('vdi-param-set', setting, isSet);
}

/** A list can be filtered by a key of a map (xen-api: ocaml/xapi-cli-server/cli_operations.ml, `filter_records_on_map_param`). */
export async function listBySource(xe: Xe, source: string, sr: string, signal: AbortSignal | undefined): Promise<string[]> {
  // The storage manager reports a VDI as missing if its volume or file is gone.
  const usable = { managed: 'true', missing: 'false', 'is-a-snapshot': 'false' };
  const own: string[] = [];
  for (const vdi of await xe.list('vdi-list', { 'sr-uuid': sr, [SOURCE]: source, ...usable }, signal)) {
    own.push(...(await xe.list('vdi-list', { uuid: vdi, [OWN]: vdi }, signal)));
  }
  return own;
}
