/** What makes VHDs a chain: each names the unique id of the one it was made over. */

import type { DiskFacts } from '../disk/disk.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { dateOf } from './footer.ts';

/** A layer as far as links are concerned. */
export interface Link {
  /** The member, or the file. */
  readonly name: string;
  readonly facts: Pick<DiskFacts, 'type' | 'identity' | 'parent'>;
}

interface LinkOptions {
  /** Take a foreign parent all the same; a warning then. */
  readonly anyParent: boolean;
  readonly warn: OnWarning;
}

/**
 * Checks that `parent` is the one that `child` was made over. Names and locators say nothing: Nova renames the files and relinks
 * them by number (openstack/nova, import_vhds in plugins/xenserver/xenapi/etc/xapi.d/plugins/utils.py). Throws CHAIN_TYPE or
 * CHAIN_PARENT.
 */
export function checkLink(child: Link, parent: Link, { anyParent, warn }: LinkOptions): void {
  const named = child.facts.parent;
  if (named === undefined) {
    throw new VdiStreamError('CHAIN_TYPE', `this is a ${child.facts.type} disk, complete in itself, so ${parent.name} cannot be under it`, {
      member: child.name,
    });
  }
  const { identity } = parent.facts;
  if (identity?.uniqueId !== named.uniqueId) {
    const message = `this layer was made over a disk with the id ${named.uniqueId}, but ${parent.name} has ${identity?.uniqueId ?? 'none'}`;
    if (!anyParent) throw new VdiStreamError('CHAIN_PARENT', message, { member: child.name });
    warn({ code: 'CHAIN_PARENT', message, member: child.name });
  } else if (identity.timestamp !== named.timestamp) {
    const message = `this layer says that its parent is of ${instant(named.timestamp)}, but ${parent.name} is of ${instant(identity.timestamp)}`;
    warn({ code: 'CHAIN_TIMESTAMP', message, member: child.name });
  }
}

/**
 * Throws VHD_DIFFERENCING where the last of `layers`, which come leaf first, has a parent; CHAIN_LOOP where that is among them.
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
  throw new VdiStreamError(
    'VHD_DIFFERENCING',
    `this holds only what changed against its parent${parent}, which is not here: alone it is no disk`,
    { member: name, offset: 60 },
  );
}

const instant = (seconds: number): string => dateOf(seconds).toISOString().replace('.000', '');
