/**
 * Storage: where the stand-in's disks are and how they get a device. The toolstack uses only this interface.
 *
 * All calls are synchronous: the toolstack does one thing at a time.
 */

/** @typedef {import('./world.mjs').Sr} Sr */
/** @typedef {import('./world.mjs').Vdi} Vdi */

/**
 * @typedef {object} Disk what a storage keeps about a disk, as JSON
 * @property {string} path
 * @property {number} filled bytes filled with old data
 * @property {Plugged} [plugged]
 */

/**
 * @typedef {object} Plugged
 * @property {string} device what the toolstack reports: the path below /dev
 * @property {string} node path with the kernel's own name
 * @property {boolean} readOnly
 */

/**
 * @typedef {object} Storage
 * @property {(sr: Sr, vdi: Omit<Vdi, 'disk'>) => Disk} create
 * @property {(sr: Sr, vdi: Vdi) => void} resize to the VDI's current size
 * @property {(sr: Sr, vdi: Vdi) => void} destroy a disk that is not plugged
 * @property {(sr: Sr, vdi: Vdi, readOnly: boolean) => Plugged} plug throws Missing; the node may appear later
 * @property {(sr: Sr, vdi: Vdi) => void} show creates the node of a plugged disk, unless the kernel does
 * @property {(sr: Sr, vdi: Vdi) => void} unplug throws Busy while the device is open
 * @property {(srs: readonly Sr[]) => void} sweep detaches and removes everything, open or not
 */

/** The device is open; the message lists the openers. */
export class Busy extends Error {}

/** The disk is not where it should be. */
export class Missing extends Error {}
