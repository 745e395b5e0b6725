/** Storage repositories through xe. */

import { VdiStreamError } from '../errors.ts';
import type { Xe } from './xe.ts';
import { parseMap } from './xe-output.ts';

export async function srType(xe: Xe, sr: string, signal: AbortSignal | undefined): Promise<string> {
  const type = await srParameter(xe, sr, 'type', signal);
  if (/^[\w-]+$/.test(type)) return type;
  throw new VdiStreamError('XE_FAILED', `SR ${sr} has no valid type: ${JSON.stringify(type.slice(0, 100))}`);
}

export const srConfig = async (xe: Xe, sr: string, signal: AbortSignal | undefined): Promise<ReadonlyMap<string, string>> =>
  parseMap(await srParameter(xe, sr, 'sm-config', signal));

/** `host`: uuid of this host. */
export async function freeSpace(xe: Xe, sr: string, host: string, signal: AbortSignal | undefined): Promise<number | undefined> {
  const pbds = await xe.list('pbd-list', { 'sr-uuid': sr, 'host-uuid': host, 'currently-attached': 'true' }, signal);
  if (pbds.length === 0) throw new VdiStreamError('SR_UNAVAILABLE', `SR ${sr} is not attached to this host`);
  const size = Number(await srParameter(xe, sr, 'physical-size', signal));
  const used = Number(await srParameter(xe, sr, 'physical-utilisation', signal));
  // Some drivers report neither, as 0 or -1.
  return size > 0 && used >= 0 ? Math.max(0, size - used) : undefined;
}

const srParameter = (xe: Xe, sr: string, name: string, signal: AbortSignal | undefined): Promise<string> =>
  xe.run('sr-param-get', { uuid: sr, 'param-name': name }, signal);
