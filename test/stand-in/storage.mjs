/**
 * Storage: where the disks of the stand-in are and how they get a device. The toolstack knows no more of it than this.
 *
 * All of it is done before the call returns: the toolstack does one thing after the other.
 */

/** @typedef {import('./world.mjs').Sr} Sr */
/** @typedef {import('./world.mjs').Vdi} Vdi */

/**
 * @typedef {object} Disk what a storage has to remember of a disk, as JSON
 * @property {string} path
 * @property {number} filled bytes that have got their old data
 * @property {Plugged} [plugged]
 */

/**
 * @typedef {object} Plugged
 * @property {string} device what the toolstack gives: the path below /dev
 * @property {string} node the kernel's own name of it: a path
 * @property {boolean} readOnly
 */

/**
 * @typedef {object} Storage
 * @property {(sr: Sr, vdi: Omit<Vdi, 'disk'>) => Disk} create
 * @property {(sr: Sr, vdi: Vdi) => void} resize to the size that it says now
 * @property {(sr: Sr, vdi: Vdi) => void} destroy of one that is not plugged
 * @property {(sr: Sr, vdi: Vdi, readOnly: boolean) => Plugged} plug throws Missing; its node may still have to appear
 * @property {(sr: Sr, vdi: Vdi) => void} show makes the node of what is plugged, where none comes by itself
 * @property {(sr: Sr, vdi: Vdi) => void} unplug throws Busy while somebody has the device open
 * @property {(srs: readonly Sr[]) => void} sweep detaches and removes all there is, open or not
 */

/** The device is open, with who has it in the message. */
export class Busy extends Error {}

/** There is no such disk where it should be. */
export class Missing extends Error {}
