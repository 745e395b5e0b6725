/** Decides which members of an archive are disks, and which of those make a chain, by the names that Nova and XenServer use. */

import { VdiStreamError } from '../errors.ts';
import type { Member } from './tar.ts';

/** A name without a leading "./" or "/": the form in which names are compared and shown. */
export const plainName = (name: string): string => name.replace(/^(?:\.?\/)+/, '');

const lastSlash = (name: string): number => Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\'));
/** With the slash; empty for a name without a folder. Names in descriptors and manifests are relative to their own folder. */
export const folderOf = (name: string): string => name.slice(0, lastSlash(name) + 1);
const baseName = (name: string): string => name.slice(lastSlash(name) + 1);

/**
 * Nova creates a new swap disk for every instance, and ignores the one in the image (_validate_sequenced_vhds in utils.py of its XenAPI
 * plugins).
 */
const isSwap = (name: string): boolean => baseName(name).toLowerCase() === 'swap.vhd';

/** Hyper-V names the layers of its checkpoints .avhd. */
const VHD_NAME = /\.a?vhd(?:\.(?:gz|zst|xz|bz2|lz4))?$/i;

/** A disk that is chosen by its name; the swap disk is not. */
export const isVhdName = (name: string): boolean => VHD_NAME.test(name) && !isSwap(name);

const PACKED_NAMES = { gzip: /$/, zstd: /\.zstd?$/i, xz: /\.xz$/i, bzip2: /\.bz2$/i, lz4: /\.lz4$/i, none: /^$/ } as const;

/**
 * Whether a member that begins like this compression is compressed. The OVF standard lets each file of a package be gzipped, whatever its
 * name. For the others the name has to say so: the disk of a fixed VHD may begin like anything, and the end of a stream cannot be seen.
 */
export const isPackedMember = (name: string, compression: keyof typeof PACKED_NAMES): boolean => PACKED_NAMES[compression].test(name);

/** A raw disk; Nova's raw_tgz images have disk.raw. */
export const isRawName = (name: string): boolean => /\.(?:raw|img)$/i.test(name);

/** Any disk, the swap disk too. */
export const isDiskName = (name: string): boolean => VHD_NAME.test(name) || isRawName(name);

/** A descriptor, manifest or certificate file of an OVF package: never a disk, whether it is used or not. */
export const isPackageFile = (name: string): boolean => /\.(?:ovf|mf|cert)$/i.test(name);

/** The position of a disk in a chain. */
export interface Place {
  /** A key that all layers of one chain share. */
  readonly chain: string;
  /** 0 is the leaf. By number and by link there are no gaps; with the old names any layer may be missing. */
  readonly rank: number;
  /** What says so: the number that is the name, one of the old names, or the unique IDs of the VHDs. */
  readonly by: 'number' | 'old-name' | 'link';
}

const OLD_NAMES = ['snap.vhd', 'image.vhd', 'base.vhd'];

/** SM creates chains of up to 30 layers. A larger number is an ordinary name. */
export const MAX_LAYERS = 64;

/**
 * New style: 0.vhd is the leaf, 1.vhd its parent, and so on. Old style: snap.vhd over image.vhd over base.vhd. Both within one folder.
 * Undefined for any other name: a disk that is not part of a chain.
 */
export function placeOf(name: string): Place | undefined {
  const plain = plainName(name);
  const folder = folderOf(plain);
  const base = baseName(plain).toLowerCase();
  const number = /^(0|[1-9]\d{0,8})\.vhd$/.exec(base)?.[1];
  if (number !== undefined && Number(number) < MAX_LAYERS) return { chain: `${folder}*`, rank: Number(number), by: 'number' };
  const rank = OLD_NAMES.indexOf(base);
  return rank < 0 ? undefined : { chain: `${folder}snap`, rank, by: 'old-name' };
}

/** Whether a member is the requested disk, by its path or its file name. */
export const isRequested = (name: string, disk: string): boolean => name === plainName(disk) || baseName(name) === disk;

/** The disks that a descriptor names. */
export interface NamedDisks {
  has(name: string): boolean;
  /** IDs of those without a file. */
  readonly empty: readonly string[];
}

/** Whether a member is a parent of the requested disk, by number or by the old names. */
export function isNamedParent(name: string, disk: string): boolean {
  const place = placeOf(name);
  const leaf = placeOf(disk);
  if (place === undefined || leaf === undefined || place.rank <= leaf.rank || place.by !== leaf.by) return false;
  return place.chain === leaf.chain || baseName(disk) === disk;
}

/** Throws TAR_NOT_A_FILE or TAR_SPARSE for a chosen member that cannot be read. */
export function checkReadable({ type, name }: Pick<Member, 'type' | 'name'>): void {
  const where = { member: name, offset: 0 };
  if (type === 'sparse') throw new VdiStreamError('TAR_SPARSE', 'this member is stored as a sparse file', where);
  if (type !== 'file') throw new VdiStreamError('TAR_NOT_A_FILE', `this member has the name of a disk, but its type is "${type}"`, where);
}
