/** The links of a chain: each layer has the unique ID of the parent that it was created over. */

import type { DiskFacts } from '../disk/disk.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { dateOf } from './footer.ts';

/** What is needed of a layer to check its links. */
export interface Link {
  /** The member, or the file. */
  readonly name: string;
  readonly facts: Pick<DiskFacts, 'type' | 'identity' | 'parent'>;
}

interface LinkOptions {
  /** Accept a different parent with a warning. */
  readonly anyParent: boolean;
  readonly warn: OnWarning;
}

/**
 * Checks that `child` was created over `parent`. Names and locators are not reliable: Nova renames the files and relinks them by number
 * (openstack/nova, import_vhds in plugins/xenserver/xenapi/etc/xapi.d/plugins/utils.py). Throws CHAIN_TYPE or CHAIN_PARENT.
 */
export function checkLink(child: Link, parent: Link, { anyParent, warn }: LinkOptions): void {
  const named = child.facts.parent;
  if (named === undefined) {
    throw new VdiStreamError('CHAIN_TYPE', `this is a ${child.facts.type} disk, so ${parent.name} cannot be its parent`, {
      member: child.name,
    });
  }
  const { identity } = parent.facts;
  if (identity?.uniqueId !== named.uniqueId) {
    const message = `the parent of this layer has the unique ID ${named.uniqueId}, but ${parent.name} has ${identity?.uniqueId ?? 'none'}`;
    if (!anyParent) throw new VdiStreamError('CHAIN_PARENT', message, { member: child.name });
    warn({ code: 'CHAIN_PARENT', message, member: child.name });
  } else if (identity.timestamp !== named.timestamp) {
    const message = `this layer has the timestamp ${instant(named.timestamp)} for its parent, but ${parent.name} has ${instant(identity.timestamp)}`;
    warn({ code: 'CHAIN_TIMESTAMP', message, member: child.name });
  }
}

/**
 * Throws VHD_DIFFERENCING if the last of `layers`, which are leaf first, has a parent; CHAIN_LOOP if that parent is one of them.
 */
export function checkBase(layers: readonly Link[]): void {
  const base = layers.at(-1);
  if (base?.facts.parent === undefined) return;
  const { name, facts } = base;
  const above = layers.find((layer) => layer.facts.identity?.uniqueId === facts.parent?.uniqueId);
  if (above !== undefined) {
    throw new VdiStreamError('CHAIN_LOOP', `the parent of this layer is ${above === base ? 'itself' : above.name}`, { member: name });
  }
  const parent = facts.parent?.name ? ` ("${facts.parent.name.slice(0, 80)}")` : '';
  throw new VdiStreamError('VHD_DIFFERENCING', `this VHD holds only the changes against its parent${parent}, which is missing`, {
    member: name,
    offset: 60,
  });
}

const instant = (seconds: number): string => dateOf(seconds).toISOString().replace('.000', '');
