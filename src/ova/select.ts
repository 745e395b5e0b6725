/** Which members of an archive are disks, and which of those make a chain, by the names that Nova and XenServer use. */

import { VdiStreamError } from '../errors.ts';
import type { Member } from './tar.ts';

/** Without a leading "./" or "/", as names are compared and shown. */
export const plainName = (name: string): string => name.replace(/^(?:\.?\/)+/, '');

const lastSlash = (name: string): number => Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\'));
/** With its slash; empty for a name without a folder. Hrefs and manifests name files from where they stand themselves. */
export const folderOf = (name: string): string => name.slice(0, lastSlash(name) + 1);
const baseName = (name: string): string => name.slice(lastSlash(name) + 1);

/**
 * Nova makes a new swap disk for every machine, and ignores one in the image (_validate_sequenced_vhds in the utils.py of its XenAPI
 * plugins).
 */
const isSwap = (name: string): boolean => baseName(name).toLowerCase() === 'swap.vhd';

export const isVhdName = (name: string): boolean => /\.vhd(?:\.gz)?$/i.test(name) && !isSwap(name);
/** A disk without a format; Nova's own raw_tgz holds disk.raw. */
export const isRawName = (name: string): boolean => /\.(?:raw|img)$/i.test(name);

/** Where a disk stands in a chain. */
export interface Place {
  /** The same for all layers of one chain. */
  readonly chain: string;
  /** 0 is the leaf. Numbered chains have no gaps; of the old names any may be missing. */
  readonly rank: number;
  readonly numbered: boolean;
}

const OLD_NAMES = ['snap.vhd', 'image.vhd', 'base.vhd'];

/** SM makes no chain of more than 30; a larger number is a name like any other. */
export const MAX_LAYERS = 64;

/**
 * New style: 0.vhd is the leaf, 1.vhd its parent, and so on. Old style: snap.vhd over image.vhd over base.vhd. Both within one
 * folder. Undefined for any other name, which is a disk by itself.
 */
export function placeOf(name: string): Place | undefined {
  const plain = plainName(name);
  const folder = folderOf(plain);
  const base = baseName(plain).toLowerCase();
  const number = /^(0|[1-9]\d{0,8})\.vhd$/.exec(base)?.[1];
  if (number !== undefined && Number(number) < MAX_LAYERS) return { chain: `${folder}*`, rank: Number(number), numbered: true };
  const rank = OLD_NAMES.indexOf(base);
  return rank < 0 ? undefined : { chain: `${folder}snap`, rank, numbered: false };
}

/** The same for all disks that are one: a disk by itself is its own chain. */
export const chainOf = (name: string): string => placeOf(name)?.chain ?? name;

/** What is known of the disks of an archive when a member is looked at. */
interface Choice {
  /** The one that was asked for: its full name, or the last part of it. With it come its parents. */
  readonly disk?: string | undefined;
  /** Names that the OVF gives to disks. */
  readonly named?: ReadonlySet<string> | undefined;
  /** Whether a .raw or .img is a disk: only where there is no VHD. */
  readonly raw: boolean;
}

/**
 * Whether `member` is a disk to look at.
 * Throws TAR_NOT_A_FILE or TAR_SPARSE for one that would be, but cannot be read.
 */
export function isDisk(member: Member, choice: Choice): boolean {
  const name = plainName(member.name);
  if (!isChosen(name, choice)) return false;
  const where = { member: member.name, offset: 0 };
  if (member.type === 'sparse') throw new VdiStreamError('TAR_SPARSE', 'this member is packed as a sparse file', where);
  if (member.type !== 'file')
    throw new VdiStreamError('TAR_NOT_A_FILE', `this member is named like a disk, but is a ${member.type}`, where);
  return true;
}

function isChosen(name: string, { disk, named, raw }: Choice): boolean {
  if (disk !== undefined) return name === plainName(disk) || baseName(name) === disk || isParent(name, disk);
  if (named !== undefined) return named.has(name);
  const plain = name.replace(/\/$/, '');
  return isVhdName(plain) || (raw && isRawName(plain));
}

function isParent(name: string, disk: string): boolean {
  const place = placeOf(name);
  const leaf = placeOf(disk);
  if (place === undefined || leaf === undefined || place.rank < leaf.rank || place.numbered !== leaf.numbered) return false;
  return place.chain === leaf.chain || baseName(disk) === disk;
}
