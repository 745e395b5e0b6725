/** Which members of an archive are disks, by the names that Nova and XenServer use. */

import { VdiStreamError } from '../errors.ts';
import type { Member } from './tar.ts';

/** Without a leading "./" or "/", as names are compared and shown. */
export const plainName = (name: string): string => name.replace(/^(?:\.?\/)+/, '');

const baseName = (name: string): string => name.slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1);

/** Nova makes a new swap disk for every machine and has ignored swap.vhd since 2012 (DOMAIN 2). */
export const isSwap = (name: string): boolean => baseName(name).toLowerCase() === 'swap.vhd';

const looksLikeDisk = (name: string): boolean => /\.vhd$/i.test(name) && !isSwap(name);

/**
 * Whether `member` is a disk to look at: the one called `wanted` (by its full name, or by its last part), or any .vhd.
 * Throws TAR_NOT_A_FILE or TAR_SPARSE for one that would be, but cannot be read.
 */
export function isDisk(member: Member, wanted: string | undefined): boolean {
  const name = plainName(member.name);
  const chosen = wanted === undefined ? looksLikeDisk(name.replace(/\/$/, '')) : name === plainName(wanted) || baseName(name) === wanted;
  if (!chosen) return false;
  const where = { member: member.name, offset: member.offset };
  if (member.type === 'sparse') throw new VdiStreamError('TAR_SPARSE', 'this member is packed as a sparse file', where);
  if (member.type !== 'file')
    throw new VdiStreamError('TAR_NOT_A_FILE', `this member is named like a disk, but is a ${member.type}`, where);
  return true;
}
