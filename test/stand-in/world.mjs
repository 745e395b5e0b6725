/**
 * World: the objects of the toolstack, each with a uuid and a reference. A pool of two hosts, so that a caller must pick the right control
 * domain, and a running guest.
 */

import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { serverError } from './refusal.mjs';

/**
 * @typedef {Record<string, string>} StringMap
 * @typedef {{ uuid: string, ref: string }} Identity
 * @typedef {Identity & { nameLabel: string, nameDescription: string, tags: string[], otherConfig: StringMap }} Named
 * @typedef {Named & { address: string }} Host
 * @typedef {Named & { master: string, defaultSr: string }} Pool
 * @typedef {Named & { isControlDomain: boolean, residentOn: string, domId: number, powerState: 'running' | 'halted' }} Vm
 * @typedef {Named & { type: string, shared: boolean, size: number, smConfig: StringMap, device: DeviceStyle, sector: number,
 *   place: string, signatures: boolean }} Sr the old data on a volume of an SR with `signatures` looks like a file system and more
 * @typedef {Identity & { sr: string, host: string, currentlyAttached: boolean, otherConfig: StringMap }} Pbd
 * @typedef {Named & { sr: string, virtualSize: number, type: string, sharable: boolean, readOnly: boolean, managed: boolean, missing: boolean,
 *   isSnapshot: boolean, snapshotOf: string, smConfig: StringMap, disk: import('./storage.mjs').Disk }} Vdi
 * @typedef {Identity & { vm: string, vdi: string, userdevice: string, device: string, bootable: boolean, mode: 'RO' | 'RW',
 *   type: 'Disk' | 'CD', unpluggable: boolean, currentlyAttached: boolean, otherConfig: StringMap }} Vbd
 * @typedef {'backend' | 'kernel'} DeviceStyle `sm/backend/<sr>/<vdi>`, or the kernel's own name (nbd3; here loop3)
 */

/**
 * @typedef {object} Objects refer to each other by uuid; '' for none
 * @property {Host[]} host
 * @property {Pool[]} pool
 * @property {Vm[]} vm
 * @property {Sr[]} sr
 * @property {Pbd[]} pbd
 * @property {Vdi[]} vdi
 * @property {Vbd[]} vbd
 */

/** @typedef {keyof Objects} Class */

/** The name of a class in UUID_INVALID. */
const TYPES = { host: 'host', pool: 'pool', vm: 'VM', sr: 'SR', pbd: 'PBD', vdi: 'VDI', vbd: 'VBD' };

/** @returns {Identity} */
export const identity = () => ({ uuid: randomUUID(), ref: `OpaqueRef:${randomUUID()}` });

/** @param {string} nameLabel @returns {Named} */
export const named = (nameLabel) => ({ ...identity(), nameLabel, nameDescription: '', tags: [], otherConfig: {} });

/** @returns {Objects} */
function newObjects() {
  const [here, there] = [
    { ...named('here'), address: '192.0.2.1' },
    { ...named('there'), address: '192.0.2.2' },
  ];
  /** @param {string} name @param {Host} host @param {number} domId @param {boolean} isControlDomain @returns {Vm} */
  const vm = (name, host, domId, isControlDomain) => ({
    ...named(name),
    isControlDomain,
    residentOn: host.uuid,
    domId,
    powerState: 'running',
  });
  return {
    host: [here, there],
    pool: [{ ...named(''), master: here.uuid, defaultSr: '' }],
    // A storage driver domain is a control domain too, and comes first here.
    vm: [
      vm('storage driver domain', here, 3, true),
      vm('Control domain on host: there', there, 0, true),
      vm('Control domain on host: here', here, 0, true),
      vm('guest', here, 7, false),
    ],
    sr: [],
    pbd: [],
    vdi: [],
    vbd: [],
  };
}

/** @typedef {ReturnType<typeof createWorld>} World */

/** The objects from a file, or new ones if it does not exist. @param {string} file */
export function createWorld(file) {
  const objects = load(file) ?? newObjects();
  const everything = () => Object.values(objects).flat();
  /** uuids of objects that a running call works on. @type {Set<string>} */
  const busy = new Set();

  const world = {
    objects,

    /** Throws UUID_INVALID. @template {Class} C @param {C} kind @param {string} uuid @returns {Objects[C][number]} */
    get(kind, uuid) {
      const found = objects[kind].find((object) => object.uuid === uuid);
      if (found === undefined) throw serverError('UUID_INVALID', TYPES[kind], uuid);
      return found;
    },

    /** The host that this toolstack runs on. */
    here: () => /** @type {Host} */ (objects.host[0]),

    /** @param {Vm} vm */
    isDom0Here: (vm) => vm.isControlDomain && vm.domId === 0 && vm.residentOn === world.here().uuid,

    /** @param {string} vdi */
    vbdsOf: (vdi) => objects.vbd.filter((vbd) => vbd.vdi === vdi),

    /**
     * Marks the object that a call names as busy; the returned function ends that.
     * @param {readonly string[]} args
     */
    begin(args) {
      const uuid = args.find((text) => text.startsWith('uuid='))?.slice('uuid='.length) ?? '';
      busy.add(uuid);
      return () => void busy.delete(uuid);
    },

    /**
     * Throws OTHER_OPERATION_IN_PROGRESS immediately; the real xapi waits a while first.
     * @param {'VBD' | 'VDI'} type @param {Vbd | Vdi} object
     */
    assertIdle(type, object) {
      const isBusy = [object, ...(type === 'VDI' ? world.vbdsOf(object.uuid) : [])].some(({ uuid }) => busy.has(uuid));
      if (isBusy) throw serverError('OTHER_OPERATION_IN_PROGRESS', type, object.ref);
    },

    /** Throws SR_HAS_NO_PBDS unless this host has the SR attached. @param {Sr} sr */
    assertAttached(sr) {
      const isAttached = objects.pbd.some((pbd) => pbd.sr === sr.uuid && pbd.host === world.here().uuid && pbd.currentlyAttached);
      if (!isAttached) throw serverError('SR_HAS_NO_PBDS', sr.ref);
    },

    /** How messages print a reference: "uuid (name)". @param {string} ref */
    describe(ref) {
      const found = everything().find((object) => object.ref === ref);
      if (found === undefined) return ref;
      return 'nameLabel' in found ? `${found.uuid} (${found.nameLabel})` : found.uuid;
    },

    /** For tests, and for the next start. Atomic. */
    save() {
      writeFileSync(`${file}.new`, JSON.stringify(objects, null, 1));
      renameSync(`${file}.new`, file);
    },
  };
  world.save();
  return world;
}

/** @param {string} file @returns {Objects | undefined} */
function load(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
