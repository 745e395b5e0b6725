/**
 * Sizes: how the storage manager treats sizes, by SR type (sm: drivers/vhdutil.py, lvhdutil.py, LVHDSR.py and FileSR.py): whether it can
 * create disks, how it rounds, what it refuses, how much space a disk uses, and whether a new disk shows its previous owner's data (xen-api:
 * ocaml/xapi/sm_fs_ops.ml).
 */

import { backendFailure, serverError } from './refusal.mjs';

/** @typedef {import('./world.mjs').Sr} Sr */
/** @typedef {import('./world.mjs').Vdi} Vdi */

const KiB = 1024;
const MiB = 2 ** 20;
const BLOCK = 2 * MiB;
const EXTENT = 4 * MiB;
const MAX = 2_088_960 * MiB;
/** Bytes of header, BAT and batmap of a VHD that may grow to 2 TiB. */
const TABLES = 4_329_472;

const FILE = ['ext', 'file', 'nfs', 'smb'];
const LVM = ['lvm', 'lvmoiscsi', 'lvmohba'];
const DRIVERS_OWN = ['equal', 'zfs-vol'];

/** @param {Sr} sr */
export const isLvm = (sr) => LVM.includes(sr.type);

/** @param {number} size @param {number} unit */
const roundUp = (size, unit) => Math.ceil(size / unit) * unit;

/**
 * A plain volume or file instead of a VHD: requested for the VDI, or on an LVM SR that predates VHDs.
 * @param {Sr} sr @param {Readonly<Record<string, string>>} smConfig of the VDI
 */
export const isRaw = (sr, smConfig) =>
  smConfig.type === 'raw' || (isLvm(sr) && sr.smConfig.use_vhd !== 'true') || DRIVERS_OWN.includes(sr.type);

/** @param {Sr} sr @param {Readonly<Record<string, string>>} smConfig of the VDI */
export function showsOldData(sr, smConfig) {
  return (isLvm(sr) && isRaw(sr, smConfig)) || (sr.type === 'equal' && sr.smConfig.allocation === 'thick');
}

/**
 * Bytes of the disk created for a requested size. Throws SR_OPERATION_NOT_SUPPORTED, 78 and 79.
 * @param {Sr} sr @param {Readonly<Record<string, string>>} smConfig of the VDI @param {number} wanted
 */
export function sizeFor(sr, smConfig, wanted) {
  if (![...FILE, ...LVM, ...DRIVERS_OWN].includes(sr.type)) throw serverError('SR_OPERATION_NOT_SUPPORTED', sr.ref);
  if (!['raw', 'vhd', undefined].includes(smConfig.type)) throw backendFailure(78, 'VDI Creation failed [opterr=bad type]');
  if (FILE.includes(sr.type) && isRaw(sr, smConfig)) {
    if (wanted >= 0) return wanted;
  } else if (wanted >= 0 && wanted <= MAX) {
    const size = roundUp(Math.max(wanted, BLOCK), BLOCK);
    return isLvm(sr) && isRaw(sr, smConfig) ? roundUp(size, EXTENT) : size;
  }
  throw backendFailure(79, `VDI Invalid size [opterr=VDI size must be between 1 MB and ${MAX / MiB} MB]`);
}

/** Bytes that a disk uses on its SR. @param {Sr} sr @param {Pick<Vdi, 'virtualSize' | 'smConfig'> & { disk?: Vdi['disk'] }} vdi */
export function physicalUtilisation(sr, { virtualSize, smConfig, disk }) {
  if (isRaw(sr, smConfig)) return virtualSize;
  if (!isLvm(sr)) return 20 * KiB;
  // Thin: created small, and inflated while it is attached for writing.
  if (isThin(sr) && disk?.plugged?.readOnly !== false) return 2 * EXTENT;
  return thickSize(virtualSize);
}

/** @param {Sr} sr */
export const isThin = (sr) => isLvm(sr) && sr.smConfig.allocation === 'thin';

/** Size of a logical volume for a VHD that never has to grow. @param {number} virtualSize */
export const thickSize = (virtualSize) => roundUp(virtualSize + TABLES + Math.ceil(virtualSize / BLOCK) * 4 * KiB, EXTENT);

/** @param {Sr} sr @param {readonly Vdi[]} vdis */
export const usedOf = (sr, vdis) => vdis.filter((vdi) => vdi.sr === sr.uuid).reduce((sum, vdi) => sum + physicalUtilisation(sr, vdi), 0);

/** @param {Sr} sr @param {readonly Vdi[]} vdis */
export const roomIn = (sr, vdis) => sr.size - usedOf(sr, vdis);
