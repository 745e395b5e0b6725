/** The commands for VDIs (xen-api: ocaml/xapi-cli-server/cli_frontend.ml, ocaml/xapi/xapi_vdi.ml). */

import { bytesOf } from './line.mjs';
import { backendFailure, failed, serverError } from './refusal.mjs';
import { isLvm, isRaw, physicalUtilisation, roomIn, sizeFor } from './sizes.mjs';
import { named } from './world.mjs';

/** @typedef {import('./commands.mjs').Command} Command */

const TYPES = ['system', 'user', 'suspend', 'crashdump'];

/** Name and tags are the only labels that the creating call can set. @type {Command} */
export const vdiCreate = {
  required: ['sr-uuid', 'name-label', 'virtual-size'],
  optional: ['sm-config:', 'sharable', 'tags:', 'type'],
  run({ world, storage, value, optional, flag, map }) {
    const sr = world.get('sr', value('sr-uuid'));
    const wanted = bytesOf('virtual-size', value('virtual-size'));
    const type = optional('type') ?? 'user';
    if (!TYPES.includes(type)) throw failed(`Unknown vdi type: ${type}`);
    const sharable = flag('sharable', false);
    const smConfig = map('sm-config');
    const virtualSize = sizeFor(sr, smConfig, wanted);
    world.assertAttached(sr);
    assertRoom(world, sr, physicalUtilisation(sr, { virtualSize, smConfig }));
    const vdi = {
      ...named(value('name-label')),
      tags: Object.keys(map('tags')),
      sr: sr.uuid,
      virtualSize,
      type,
      sharable,
      readOnly: false,
      managed: true,
      missing: false,
      isSnapshot: false,
      snapshotOf: '',
      smConfig: { ...smConfig, vdi_type: isRaw(sr, smConfig) ? 'aio' : 'vhd' },
    };
    world.objects.vdi.push({ ...vdi, disk: storage.create(sr, vdi) });
    return { list: [vdi.uuid] };
  },
};

/** Only grows, and only a VDI that is not attached. @type {Command} */
export const vdiResize = {
  required: ['uuid', 'disk-size'],
  optional: ['online'],
  run({ world, storage, value, flag }) {
    const vdi = world.get('vdi', value('uuid'));
    const sr = world.get('sr', vdi.sr);
    const wanted = bytesOf('disk-size', value('disk-size'));
    if (flag('online', false)) throw serverError('SR_OPERATION_NOT_SUPPORTED', sr.ref);
    world.assertAttached(sr);
    assertUnused(world, vdi, 'resize');
    const virtualSize = sizeFor(sr, vdi.smConfig, wanted);
    if (virtualSize < vdi.virtualSize) throw backendFailure(79, 'VDI Invalid size [opterr=shrinking not allowed]');
    assertRoom(world, sr, physicalUtilisation(sr, { ...vdi, virtualSize }) - physicalUtilisation(sr, vdi));
    vdi.virtualSize = virtualSize;
    storage.resize(sr, vdi);
  },
};

/** Also destroys the VDI's unplugged VBDs. @type {Command} */
export const vdiDestroy = {
  required: ['uuid'],
  optional: [],
  run({ world, storage, value }) {
    const { objects } = world;
    const vdi = world.get('vdi', value('uuid'));
    const sr = world.get('sr', vdi.sr);
    assertUnused(world, vdi, 'destroy');
    world.assertAttached(sr);
    storage.destroy(sr, vdi);
    objects.vbd = objects.vbd.filter((vbd) => vbd.vdi !== vdi.uuid);
    objects.vdi = objects.vdi.filter((other) => other !== vdi);
  },
};

/** @param {import('./world.mjs').World} world @param {import('./world.mjs').Vdi} vdi @param {string} operation */
function assertUnused(world, vdi, operation) {
  if (world.vbdsOf(vdi.uuid).some((vbd) => vbd.currentlyAttached)) throw serverError('VDI_IN_USE', vdi.ref, operation);
  world.assertIdle('VDI', vdi);
}

/**
 * A full volume group refuses; a file system accepts any disk, and fails when it is written to.
 * @param {import('./world.mjs').World} world @param {import('./world.mjs').Sr} sr @param {number} needed
 */
function assertRoom(world, sr, needed) {
  if (isLvm(sr) && needed > roomIn(sr, world.objects.vdi)) throw backendFailure(44, 'There is insufficient space');
}
