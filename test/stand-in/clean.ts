/** Checks that nothing is left on a host. */

import { join } from 'node:path';
import type { Host } from './host.ts';
import { loopsIn, NODES, nodesIn } from './loop.mjs';

/** What may be there: uuids. */
export interface Kept {
  readonly vdis?: readonly string[];
  readonly vbds?: readonly string[];
}

/** Throws if there is a loop device, node, VBD or VDI that is not listed, or if a listed object is missing. */
export function assertClean(host: Host, { vdis = [], vbds = [] }: Kept = {}): void {
  const { sr, vdi, vbd } = host.state();
  const keptPlugs = vbd.filter((one) => vbds.includes(one.uuid) && one.currentlyAttached && one.vm === host.dom0);
  const plugged = new Set(keptPlugs.map((one) => one.vdi));
  const keptLoops = vdi.flatMap((one) => (plugged.has(one.uuid) && one.disk.plugged !== undefined ? [one.disk.plugged.node] : []));
  const loops = [host.folder, ...sr.map((one) => one.place)].flatMap(loopsIn);
  const nodes = sr.flatMap(({ uuid }) => NODES.flatMap((kind) => nodesIn(kind, uuid).map((name) => ({ name, kind, uuid }))));
  const wrong = [
    ...vbd.filter((one) => !vbds.includes(one.uuid)).map((one) => `VBD ${one.uuid} is left`),
    ...vdi.filter((one) => !vdis.includes(one.uuid)).map((one) => `VDI ${one.uuid} (${one.nameLabel}) is left`),
    ...vbds.filter((uuid) => !vbd.some((one) => one.uuid === uuid)).map((uuid) => `VBD ${uuid} is gone`),
    ...vdis.filter((uuid) => !vdi.some((one) => one.uuid === uuid)).map((uuid) => `VDI ${uuid} is gone`),
    ...loops.filter((node) => !keptLoops.includes(node)).map((node) => `${node} is attached`),
    ...nodes.filter(({ name }) => !plugged.has(name)).map(({ name, kind, uuid }) => `${join('/dev/sm', kind, uuid, name)} is there`),
  ];
  if (wrong.length > 0) throw new Error(`not clean: ${wrong.join('; ')}`);
}
