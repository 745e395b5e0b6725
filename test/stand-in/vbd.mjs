/**
 * The commands for VBDs (xen-api: ocaml/xapi-cli-server/cli_frontend.ml, ocaml/xapi/xapi_vbd.ml). Only a plug in this host's own Dom0 creates
 * a real device.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { backendFailure, failed, serverError } from './refusal.mjs';
import { isThin, physicalUtilisation, roomIn, thickSize } from './sizes.mjs';
import { Busy, Missing } from './storage.mjs';
import { identity } from './world.mjs';

/** @typedef {import('./commands.mjs').Command} Command */
/** @typedef {import('./world.mjs').World} World */
/** @typedef {import('./world.mjs').Vbd} Vbd */
/** @typedef {import('./world.mjs').Vm} Vm */

/** @type {Command} */
export const vbdCreate = {
  required: ['vm-uuid', 'device'],
  optional: ['vdi-uuid', 'bootable', 'type', 'mode', 'unpluggable'],
  run({ world, value, optional, flag }) {
    const vm = world.get('vm', value('vm-uuid'));
    const uuid = optional('vdi-uuid');
    const vdi = uuid === undefined ? undefined : world.get('vdi', uuid);
    const bootable = flag('bootable', false);
    const mode = oneOf({ ro: 'RO', rw: 'RW' }, optional('mode') ?? 'rw', (text) => `Unknown mode: ${text} (should be "ro" or "rw"`);
    const type = oneOf({ cd: 'CD', disk: 'Disk' }, optional('type') ?? 'disk', (text) => `Unknown type: ${text} (should be "cd" or "disk"`);
    const unpluggable = flag('unpluggable', true);
    if (type === 'Disk' && vdi === undefined) throw failed('Empty VBDs can only be made for type=CD');
    if (type === 'CD' && mode === 'RW') throw serverError('VBD_CDS_MUST_BE_READONLY');
    if (type === 'CD' && vdi !== undefined) throw serverError('VDI_IS_NOT_ISO', vdi.ref, vdi.type);
    if (mode === 'RW' && vdi?.readOnly) throw serverError('VDI_READONLY', vdi.ref);
    const userdevice = deviceNumber(world, vm, value('device'));
    const common = { ...identity(), vm: vm.uuid, vdi: vdi?.uuid ?? '', userdevice, bootable, mode, type, unpluggable };
    world.objects.vbd.push({ ...common, device: '', currentlyAttached: false, otherConfig: {} });
    return { list: [common.uuid] };
  },
};

/**
 * A plug in Dom0 does not check whether another VM of this host has the disk. The storage manager does not let two hosts have it, unless both
 * only read (sm: drivers/blktap2.py, `_add_tag`).
 * @type {Command}
 */
export const vbdPlug = {
  required: ['uuid'],
  optional: [],
  run({ world, storage, appear, value }) {
    const { vbd, vm } = pluggable(world, value('uuid'));
    if (vbd.currentlyAttached) throw serverError('DEVICE_ALREADY_ATTACHED', vbd.ref);
    if (vbd.vdi === '') throw serverError('VBD_IS_EMPTY', vbd.ref);
    const vdi = world.get('vdi', vbd.vdi);
    const sr = world.get('sr', vdi.sr);
    const writes = vbd.mode === 'RW';
    if (!vm.isControlDomain && !vdi.sharable) {
      const others = world.vbdsOf(vdi.uuid).filter((other) => other.currentlyAttached && !world.get('vm', other.vm).isControlDomain);
      if (others.some((other) => writes || other.mode === 'RW')) throw serverError('VDI_IN_USE', vdi.ref);
    }
    if (writes && vdi.readOnly) throw serverError('VDI_READONLY', vdi.ref);
    const elsewhere = world
      .vbdsOf(vdi.uuid)
      .filter((other) => other.currentlyAttached && world.get('vm', other.vm).residentOn !== vm.residentOn);
    if (!vdi.sharable && elsewhere.some((other) => writes || other.mode === 'RW')) {
      throw backendFailure(46, `The VDI is not available [opterr=VDI ${vdi.uuid} not detached cleanly]`);
    }
    // A disk that is attached read-only cannot become writable.
    if (writes && vm.residentOn === world.here().uuid && vdi.disk.plugged?.readOnly) throw serverError('VDI_IN_USE', vdi.ref, 'attach');
    if (world.isDom0Here(vm)) {
      world.assertAttached(sr);
      const needed = isThin(sr) && writes ? thickSize(vdi.virtualSize) - physicalUtilisation(sr, vdi) : 0;
      if (needed > 0 && needed > roomIn(sr, world.objects.vdi))
        throw backendFailure(180, 'Failed to attach VDI [opterr=Volume Group out of space]');
      if (vdi.disk.plugged === undefined) {
        const plugged = found(() => storage.plug(sr, vdi, !writes), vdi.uuid);
        vdi.disk.plugged = plugged;
        appear(() => {
          if (vdi.disk.plugged === plugged) storage.show(sr, vdi);
        });
      }
      vdi.smConfig[`host_${world.here().ref}`] = vdi.disk.plugged.readOnly ? 'RO' : 'RW';
      vbd.device = vdi.disk.plugged.device;
    } else {
      vbd.device = `xvd${String.fromCharCode(97 + Number(vbd.userdevice))}`;
    }
    vbd.currentlyAttached = true;
  },
};

/** `device` keeps its value. @type {Command} */
export const vbdUnplug = {
  required: ['uuid'],
  optional: ['timeout', 'force'],
  async run({ world, storage, value, optional, flag }) {
    const timeout = Number(optional('timeout') ?? '0');
    if (Number.isNaN(timeout)) throw failed("Failed to parse parameter 'timeout': expecting a float");
    flag('force', false); // makes no difference in Dom0
    const { vbd, vm } = pluggable(world, value('uuid'));
    if (!vbd.unpluggable) throw serverError('VBD_NOT_UNPLUGGABLE', vbd.ref);
    if (!vbd.currentlyAttached) throw serverError('DEVICE_ALREADY_DETACHED', vbd.ref);
    try {
      detach(world, storage, vbd, vm);
    } catch (error) {
      if (!(error instanceof Busy)) throw error;
      // Not retried: xapi only waits for the VBD to be unplugged elsewhere, and checks every five seconds.
      for (const end = Date.now() + timeout * 1000; vbd.currentlyAttached && Date.now() < end; ) await sleep(5000);
      if (vbd.currentlyAttached) throw serverError('DEVICE_DETACH_REJECTED', 'VBD', vbd.ref, error.message);
    }
  },
};

/** @type {Command} */
export const vbdDestroy = {
  required: ['uuid'],
  optional: [],
  run({ world, value }) {
    const vbd = world.get('vbd', value('uuid'));
    if (vbd.currentlyAttached) throw serverError('OPERATION_NOT_ALLOWED', `VBD '${vbd.uuid}' still attached to '${vbd.vm}'`);
    world.objects.vbd = world.objects.vbd.filter((other) => other !== vbd);
  },
};

/** @param {World} world @param {import('./storage.mjs').Storage} storage @param {Vbd} vbd @param {Vm} vm */
function detach(world, storage, vbd, vm) {
  const vdi = world.get('vdi', vbd.vdi);
  const others = world
    .vbdsOf(vdi.uuid)
    .filter((other) => other !== vbd && other.currentlyAttached && world.isDom0Here(world.get('vm', other.vm)));
  if (world.isDom0Here(vm) && others.length === 0) {
    storage.unplug(world.get('sr', vdi.sr), vdi);
    delete vdi.disk.plugged;
    delete vdi.smConfig[`host_${world.here().ref}`];
  }
  vbd.currentlyAttached = false;
}

/** @param {World} world @param {string} uuid */
function pluggable(world, uuid) {
  const vbd = world.get('vbd', uuid);
  world.assertIdle('VBD', vbd);
  const vm = world.get('vm', vbd.vm);
  if (vm.powerState !== 'running') throw serverError('VM_BAD_POWER_STATE', vm.ref, 'running', vm.powerState);
  return { vbd, vm };
}

/** @template T @param {() => T} plug @param {string} vdi */
function found(plug, vdi) {
  try {
    return plug();
  } catch (error) {
    if (error instanceof Missing) throw backendFailure(46, `The VDI is not available [opterr=VDI ${vdi} not found]`);
    throw error;
  }
}

/** @template {string} T @param {Readonly<Record<string, T>>} values @param {string} text @param {(text: string) => string} complaint */
function oneOf(values, text, complaint) {
  const word = text.toLowerCase();
  const value = Object.hasOwn(values, word) ? values[word] : undefined;
  if (value === undefined) throw failed(complaint(word));
  return value;
}

/** The number of a device by name, or the first free number. @param {World} world @param {Vm} vm @param {string} device */
function deviceNumber(world, vm, device) {
  const used = new Set(world.objects.vbd.filter((vbd) => vbd.vm === vm.uuid).map((vbd) => Number(vbd.userdevice)));
  const count = vm.isControlDomain ? 256 : 16;
  if (device === 'autodetect') {
    const free = Array.from({ length: count }, (_, number) => number).find((number) => !used.has(number));
    if (free === undefined) throw serverError('INVALID_DEVICE', device);
    return String(free);
  }
  const [, digits, letter] = /^(?:(\d{1,3})|(?:xvd|sd|hd)([a-p]))$/.exec(device) ?? [];
  const number = letter === undefined ? Number(digits ?? 'none') : letter.charCodeAt(0) - 97;
  if (!(number < count)) throw serverError('INVALID_DEVICE', device);
  if (used.has(number)) throw serverError('DEVICE_ALREADY_EXISTS', device);
  return String(number);
}
