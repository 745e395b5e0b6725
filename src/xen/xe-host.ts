/** The uuids of this host and its control domain. */

import { readFile } from 'node:fs/promises';
import { VdiStreamError } from '../errors.ts';
import { isUuid } from './uuid.ts';
import type { Xe } from './xe.ts';

export interface Host {
  readonly uuid: string;
  /** The control domain's VM. */
  readonly dom0: string;
}

/**
 * Reads the inventory file, lines of KEY='value'. If it lacks the control domain, asks the toolstack for the one with `dom-id` 0 on this
 * host, since storage driver domains are control domains too. Throws DOM0_UNKNOWN, and the errors of xe.
 */
export async function findHost(xe: Xe, inventory: string, signal?: AbortSignal): Promise<Host> {
  let text = '';
  try {
    text = await readFile(inventory, 'utf8');
  } catch (cause) {
    throw new VdiStreamError('DOM0_UNKNOWN', `cannot read ${inventory}, which has the uuid of this host`, { cause });
  }
  const uuid = uuidIn(text, 'INSTALLATION_UUID');
  if (uuid === undefined) throw new VdiStreamError('DOM0_UNKNOWN', `${inventory} has no INSTALLATION_UUID`);
  const listed = uuidIn(text, 'CONTROL_DOMAIN_UUID');
  if (listed !== undefined) return { uuid, dom0: listed };
  const found = await xe.list('vm-list', { 'is-control-domain': 'true', 'resident-on': uuid, 'dom-id': 0 }, signal);
  const [dom0] = found;
  if (found.length !== 1 || dom0 === undefined || !isUuid(dom0)) {
    throw new VdiStreamError('DOM0_UNKNOWN', `${inventory} has no CONTROL_DOMAIN_UUID, and xe lists ${found.length} control domains`);
  }
  return { uuid, dom0 };
}

function uuidIn(text: string, key: string): string | undefined {
  const value = new RegExp(`^\\s*${key}\\s*=\\s*'?\\s*([0-9a-fA-F-]*)\\s*'?\\s*$`, 'm').exec(text)?.[1]?.toLowerCase();
  return value !== undefined && isUuid(value) ? value : undefined;
}
