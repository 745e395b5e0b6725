/** uuids of toolstack objects. */

import { VdiStreamError } from '../errors.ts';

export const isUuid = (text: string): boolean => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);

/** The uuid of an SR in the toolstack's form, lower case. Throws USAGE. */
export function parseSrUuid(given: string): string {
  const sr = given.toLowerCase();
  if (isUuid(sr)) return sr;
  throw new VdiStreamError('USAGE', `${JSON.stringify(given.slice(0, 100))} is not the uuid of a storage repository`);
}
