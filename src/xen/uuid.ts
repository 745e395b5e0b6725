/** uuids of toolstack objects. */

import { VdiStreamError } from '../errors.ts';

export const isUuid = (text: string): boolean => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);

/** The uuid of an SR in the toolstack's form, lower case. Throws USAGE. */
export const parseSrUuid = (given: string): string => parseUuid(given, 'a storage repository');

/** The uuid of a VDI in the toolstack's form, lower case. Throws USAGE. */
export const parseVdiUuid = (given: string): string => parseUuid(given, 'a VDI');

function parseUuid(given: string, kind: string): string {
  const uuid = given.toLowerCase();
  if (isUuid(uuid)) return uuid;
  throw new VdiStreamError('USAGE', `${JSON.stringify(given.slice(0, 100))} is not the uuid of ${kind}`);
}
