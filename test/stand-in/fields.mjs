/**
 * The fields of each class, in the order in which they are printed, whatever the order of the request. Leaves out those that no test needs
 * and those that xapi calls deprecated.
 */

import { booleanOf } from './line.mjs';
import { physicalUtilisation, usedOf } from './sizes.mjs';

/** @typedef {import('./world.mjs').World} World */
/** @typedef {import('./world.mjs').Objects} Objects */
/** @typedef {import('./world.mjs').Class} Class */

/**
 * @template R
 * @typedef {object} Field
 * @property {string} name
 * @property {(record: R, world: World) => string | string[] | Record<string, string>} get a text, a set or a map
 * @property {(record: R, text: string) => void} [set] for a text
 * @property {boolean} [writable] for a set or a map, which get() then returns itself, not a copy
 * @property {string} [joint] for a set, the separator when printed
 */

const NONE = '<not in database>';

/** @type {{ [C in Class]: readonly Field<Objects[C][number]>[] }} */
export const FIELDS = {
  host: [uuid(), ...names(), { name: 'address', get: (host) => host.address }, { name: 'enabled', get: () => 'true' }, ...labels()],
  pool: [
    uuid(),
    ...names(),
    { name: 'master', get: (pool) => pool.master },
    { name: 'default-SR', get: (pool) => pool.defaultSr || NONE },
    ...labels(),
  ],
  vm: [
    uuid(),
    ...names(),
    { name: 'is-a-template', get: () => 'false' },
    { name: 'is-a-snapshot', get: () => 'false' },
    { name: 'is-control-domain', get: (vm) => String(vm.isControlDomain) },
    { name: 'power-state', get: (vm) => vm.powerState },
    { name: 'dom-id', get: (vm) => String(vm.domId) },
    { name: 'resident-on', get: (vm) => vm.residentOn },
    ...labels(),
  ],
  sr: [
    uuid(),
    ...names(),
    { name: 'host', get: hostOfSr },
    { name: 'VDIs', get: (sr, { objects }) => objects.vdi.filter((vdi) => vdi.sr === sr.uuid).map((vdi) => vdi.uuid), joint: '; ' },
    { name: 'PBDs', get: (sr, { objects }) => objects.pbd.filter((pbd) => pbd.sr === sr.uuid).map((pbd) => pbd.uuid), joint: '; ' },
    { name: 'virtual-allocation', get: (sr, { objects }) => String(allocation(sr.uuid, objects)) },
    { name: 'physical-utilisation', get: (sr, { objects }) => String(usedOf(sr, objects.vdi)) },
    { name: 'physical-size', get: (sr) => String(sr.size) },
    { name: 'type', get: (sr) => sr.type },
    { name: 'content-type', get: (sr) => (sr.type === 'iso' ? 'iso' : 'user') },
    { name: 'shared', get: (sr) => String(sr.shared) },
    otherConfig(),
    { name: 'sm-config', get: (sr) => sr.smConfig },
    tags(),
  ],
  pbd: [
    uuid(),
    { name: 'host-uuid', get: (pbd) => pbd.host },
    { name: 'sr-uuid', get: (pbd) => pbd.sr },
    { name: 'device-config', get: () => ({}) },
    { name: 'currently-attached', get: (pbd) => String(pbd.currentlyAttached) },
    otherConfig(),
  ],
  vdi: [
    uuid(),
    ...names(),
    { name: 'is-a-snapshot', get: (vdi) => String(vdi.isSnapshot) },
    { name: 'snapshot-of', get: (vdi) => vdi.snapshotOf || NONE },
    {
      name: 'snapshots',
      get: (vdi, { objects }) => objects.vdi.filter(({ snapshotOf }) => snapshotOf === vdi.uuid).map((snapshot) => snapshot.uuid),
      joint: '; ',
    },
    { name: 'sr-uuid', get: (vdi) => vdi.sr },
    { name: 'sr-name-label', get: (vdi, world) => world.get('sr', vdi.sr).nameLabel },
    { name: 'vbd-uuids', get: (vdi, world) => world.vbdsOf(vdi.uuid).map((vbd) => vbd.uuid), joint: '; ' },
    { name: 'virtual-size', get: (vdi) => String(vdi.virtualSize) },
    { name: 'physical-utilisation', get: (vdi, world) => String(physicalUtilisation(world.get('sr', vdi.sr), vdi)) },
    { name: 'location', get: (vdi) => vdi.uuid },
    { name: 'type', get: (vdi) => vdi.type },
    { name: 'sharable', get: (vdi) => String(vdi.sharable) },
    { name: 'read-only', get: (vdi) => String(vdi.readOnly) },
    { name: 'managed', get: (vdi) => String(vdi.managed) },
    { name: 'missing', get: (vdi) => String(vdi.missing) },
    otherConfig(),
    { name: 'sm-config', get: (vdi) => vdi.smConfig },
    tags(),
  ],
  vbd: [
    uuid(),
    { name: 'vm-uuid', get: (vbd) => vbd.vm },
    { name: 'vm-name-label', get: (vbd, world) => world.get('vm', vbd.vm).nameLabel },
    { name: 'vdi-uuid', get: (vbd) => vbd.vdi || NONE },
    { name: 'vdi-name-label', get: (vbd, world) => (vbd.vdi === '' ? '<EMPTY>' : world.get('vdi', vbd.vdi).nameLabel) },
    { name: 'empty', get: (vbd) => String(vbd.vdi === '') },
    { name: 'device', get: (vbd) => vbd.device },
    { name: 'userdevice', get: (vbd) => vbd.userdevice },
    flag('bootable'),
    { name: 'mode', get: (vbd) => vbd.mode },
    { name: 'type', get: (vbd) => vbd.type },
    flag('unpluggable'),
    { name: 'currently-attached', get: (vbd) => String(vbd.currentlyAttached) },
    otherConfig(),
  ],
};

/** The fields that a list prints without `params`. @type {Readonly<Record<Class, readonly string[]>>} */
export const SHOWN = {
  host: ['uuid', 'name-label', 'name-description'],
  pool: ['uuid', 'name-label', 'name-description', 'master', 'default-SR'],
  vm: ['name-label', 'uuid', 'power-state'],
  sr: ['uuid', 'name-label', 'name-description', 'host', 'type', 'content-type'],
  pbd: ['uuid', 'host-uuid', 'sr-uuid', 'device-config', 'currently-attached'],
  vdi: ['uuid', 'name-label', 'name-description', 'virtual-size', 'read-only', 'sharable', 'sr-uuid'],
  vbd: ['uuid', 'vm-uuid', 'vm-name-label', 'vdi-uuid', 'device', 'empty'],
};

/** @returns {Field<import('./world.mjs').Identity>} */
function uuid() {
  return { name: 'uuid', get: (record) => record.uuid };
}

/** @returns {Field<import('./world.mjs').Named>[]} */
function names() {
  return [writable('name-label', 'nameLabel'), writable('name-description', 'nameDescription')];
}

/** @template {string} K @param {string} name @param {K} key @returns {Field<Record<K, string>>} */
function writable(name, key) {
  return {
    name,
    get: (record) => record[key],
    set(record, text) {
      record[key] = text;
    },
  };
}

/** @param {'bootable' | 'unpluggable'} name @returns {Field<import('./world.mjs').Vbd>} */
function flag(name) {
  return {
    name,
    get: (vbd) => String(vbd[name]),
    set(vbd, text) {
      vbd[name] = booleanOf(name, text);
    },
  };
}

/** @returns {Field<{ otherConfig: Record<string, string> }>} */
function otherConfig() {
  return { name: 'other-config', get: (record) => record.otherConfig, writable: true };
}

/** @returns {Field<import('./world.mjs').Named>} */
function tags() {
  return { name: 'tags', get: (record) => record.tags, writable: true, joint: ', ' };
}

function labels() {
  return [otherConfig(), tags()];
}

/** @param {import('./world.mjs').Sr} sr @param {World} world */
function hostOfSr(sr, { objects }) {
  const [first, ...more] = objects.pbd.filter((pbd) => pbd.sr === sr.uuid);
  if (more.length > 0) return '<shared>';
  return objects.host.find((host) => host.uuid === first?.host)?.nameLabel ?? NONE;
}

/** @param {string} sr @param {Objects} objects */
const allocation = (sr, objects) => objects.vdi.filter((vdi) => vdi.sr === sr).reduce((sum, vdi) => sum + vdi.virtualSize, 0);
