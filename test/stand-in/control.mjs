/** Control: requests that a test can send to the server besides xe commands. */

import { realpathSync } from 'node:fs';
import { identity, named } from './world.mjs';

/** @typedef {import('./xapi.mjs').Server} Server */
/** @typedef {import('./world.mjs').Sr} Sr */

/** @typedef {Partial<Pick<Sr, 'size' | 'smConfig' | 'device' | 'sector' | 'place' | 'shared' | 'signatures'>> & { attached?: boolean }} SrOptions */

/**
 * @typedef {{ do: 'fault', rule: import('./faults.mjs').Rule } | { do: 'no-faults' } | { do: 'release' } | { do: 'calls' }
 *   | { do: 'called', command: string, count: number } | { do: 'idle' }
 *   | { do: 'sr', type: string, options: SrOptions }
 *   | { do: 'change', kind: import('./world.mjs').Class, uuid: string, fields: Record<string, unknown> }} ControlRequest
 */

/** @param {Server} server @param {ControlRequest} request @returns {Promise<unknown>} */
export async function control(server, request) {
  const { world, faults, calls, late, pending, watchers } = server;
  switch (request.do) {
    case 'fault':
      return faults.add(request.rule);
    case 'no-faults':
      return faults.clear();
    case 'release': {
      const waiting = [...late];
      late.clear();
      for (const resume of waiting) resume();
      return;
    }
    case 'calls':
      return calls;
    case 'called': {
      const isReached = () => calls.filter(([command]) => command === request.command).length >= request.count;
      await new Promise((/** @type {(value: void) => void} */ resolve) => {
        const check = () => {
          if (!isReached()) return;
          watchers.delete(check);
          resolve();
        };
        watchers.add(check);
        check();
      });
      return;
    }
    case 'idle':
      await Promise.all(pending);
      return;
    case 'sr':
      return addSr(world, request.type, request.options);
    case 'change':
      Object.assign(world.get(request.kind, request.uuid), request.fields);
      return world.save();
  }
}

const LVM_CONFIG = { allocation: 'thick', use_vhd: 'true', devserial: 'scsi-3600' };

/** @param {import('./world.mjs').World} world @param {string} type @param {SrOptions} options @returns {string} its uuid */
export function addSr(world, type, { attached = true, ...options }) {
  const { objects } = world;
  const sr = {
    ...named(`${type} storage`),
    type,
    shared: false,
    size: 2 ** 42,
    smConfig: type.startsWith('lvm') ? LVM_CONFIG : {},
    device: /** @type {const} */ ('backend'),
    sector: 512,
    place: '',
    signatures: false,
    ...options,
  };
  // The kernel reports the real paths of files backing loop devices.
  if (sr.place !== '') sr.place = realpathSync(sr.place);
  objects.sr.push(sr);
  for (const host of sr.shared ? objects.host : [world.here()]) {
    const currentlyAttached = host !== world.here() || attached;
    objects.pbd.push({ ...identity(), sr: sr.uuid, host: host.uuid, currentlyAttached, otherConfig: {} });
  }
  world.save();
  return sr.uuid;
}
