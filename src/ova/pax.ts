/** Pax extended headers: records of the form "LENGTH KEY=VALUE\n". LENGTH is the decimal length of the whole record. */

import { VdiStreamError } from '../errors.ts';

/** The records that change how a member is read. */
export interface PaxRecords {
  readonly path?: string;
  readonly size?: number;
  /** There is a GNU.sparse record: the body is a map and packed data, not the file. */
  readonly sparse?: boolean;
}

/** `offset` is that of the pax header. Throws TAR_EXTENSION or TAR_SIZE. */
export function parsePax(content: Uint8Array, offset: number): PaxRecords {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const records: { path?: string; size?: number; sparse?: boolean } = {};
  let at = 0;
  // Some writers pad with NULs.
  while (at < bytes.length && bytes[at] !== 0) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? '' : bytes.toString('latin1', at, space);
    const end = at + Number(digits);
    if (!/^[1-9]\d{0,8}$/.test(digits) || end > bytes.length || bytes[end - 1] !== 0x0a || end <= space) {
      throw new VdiStreamError('TAR_EXTENSION', 'a pax record is malformed', { offset });
    }
    const record = bytes.toString('utf8', space + 1, end - 1);
    const equals = record.indexOf('=');
    const key = equals < 0 ? record : record.slice(0, equals);
    const value = record.slice(equals + 1);
    if (key === 'path') records.path = value;
    if (key === 'size') records.size = paxSize(value, offset);
    if (key.startsWith('GNU.sparse.')) records.sparse = true;
    // The real name of a sparse member; its path record has a substitute.
    if (key === 'GNU.sparse.name') records.path = value;
    at = end;
  }
  return records;
}

function paxSize(value: string, offset: number): number {
  const size = Number(value);
  if (!/^\d+$/.test(value) || size > Number.MAX_SAFE_INTEGER) {
    throw new VdiStreamError('TAR_SIZE', `the pax size "${value.slice(0, 40)}" is invalid`, { offset });
  }
  return size;
}
