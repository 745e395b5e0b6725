/** The links of a chain: each layer has the unique ID of the parent that it was created over. */

import type { DiskFacts } from '../disk/disk.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { dateOf, TAPDISK } from './footer.ts';

/** What links a layer to others. */
export type LinkFacts = Pick<DiskFacts, 'type' | 'identity' | 'parent'>;

/** What is needed of a layer to check its links. */
export interface Link {
  /** The member, or the file. */
  readonly name: string;
  readonly facts: LinkFacts & Pick<DiskFacts, 'virtualSize'>;
}

interface LinkOptions {
  /** Accept a different parent with a warning. */
  readonly anyParent: boolean;
  readonly warn: OnWarning;
}

/** A layer over a raw disk has zeros for the unique ID of its parent (blktap, vhd_parent_raw in vhd/include/libvhd.h). */
const RAW_PARENT = '0'.repeat(32);

export const isOverRaw = ({ parent }: Pick<DiskFacts, 'parent'>): boolean => parent?.uniqueId === RAW_PARENT;

/** The ID by which children name a disk; undefined if it has none, or its footer has not come yet. */
export function linkId({ type, identity }: Pick<DiskFacts, 'type' | 'identity'>): string | undefined {
  if (type === 'raw') return RAW_PARENT;
  return identity?.uniqueId === RAW_PARENT ? undefined : identity?.uniqueId;
}

/** Whether `child` was created over `parent`, as far as the IDs say. */
export const isOver = (child: Pick<DiskFacts, 'parent'>, parent: Pick<DiskFacts, 'type' | 'identity'>): boolean =>
  child.parent !== undefined && child.parent.uniqueId === linkId(parent);

/**
 * Checks that `child` was created over `parent`. Names and locators are not reliable: Nova renames the files and relinks them by number
 * (openstack/nova, import_vhds in plugins/xenserver/xenapi/etc/xapi.d/plugins/utils.py). Throws CHAIN_ORDER, CHAIN_TYPE, CHAIN_PARENT or
 * CHAIN_RAW_SIZE.
 */
export function checkLink(child: Link, parent: Link, { anyParent, warn }: LinkOptions): void {
  const named = child.facts.parent;
  if (named === undefined) throw isOver(parent.facts, child.facts) ? reversed(child, parent) : notAChild(child, parent);
  const { identity, type, virtualSize } = parent.facts;
  const id = type === 'raw' ? RAW_PARENT : identity?.uniqueId;
  const wrong = (code: 'CHAIN_PARENT' | 'CHAIN_RAW_SIZE', message: string): void => {
    if (!anyParent) throw new VdiStreamError(code, message, { member: child.name });
    warn({ code, message, member: child.name });
  };
  if (id !== named.uniqueId) {
    if (isOver(parent.facts, child.facts)) throw reversed(child, parent);
    const found = type === 'raw' ? 'is a raw disk' : `has ${id ?? 'none'}`;
    wrong('CHAIN_PARENT', `the parent of this layer has the unique ID ${named.uniqueId}, but ${parent.name} ${found}`);
  } else if (type === 'raw' && virtualSize < child.facts.virtualSize) {
    wrong('CHAIN_RAW_SIZE', `this layer has ${child.facts.virtualSize} bytes, but the raw disk ${parent.name} has only ${virtualSize}`);
  } else if (isOutdated(child, parent)) {
    const message = `this layer was created over a parent of ${instant(named.timestamp)}, but ${parent.name} was created later: ${instant(identity?.timestamp ?? 0)}`;
    warn({ code: 'CHAIN_TIMESTAMP', message, member: child.name });
  }
}

/**
 * The parent's time is when the parent was last modified (Microsoft, VHD specification 1.0, "Parent Time Stamp"), so it cannot be before the
 * parent's creation, which its own footer has. Some tools write that creation time instead. libvhd writes the modification time of the file
 * (vhd_initialize_header in blktap, vhd/lib/libvhd.c), which every copy changes, and others write 0.
 */
function isOutdated({ facts: { identity: own, parent } }: Link, { facts: { identity } }: Link): boolean {
  if (parent === undefined || identity === undefined) return false;
  return own?.creator !== TAPDISK && parent.timestamp !== 0 && parent.timestamp < identity.timestamp;
}

const notAChild = (child: Link, parent: Link): VdiStreamError =>
  new VdiStreamError('CHAIN_TYPE', `this is a ${child.facts.type} disk, so ${parent.name} cannot be its parent`, { member: child.name });

const reversed = (child: Link, parent: Link): VdiStreamError =>
  new VdiStreamError('CHAIN_ORDER', `${parent.name} is a layer over this disk, so it must come first: leaf first`, { member: child.name });

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
  const kind = isOverRaw(facts) ? 'parent, a raw disk' : 'parent';
  const parent = facts.parent?.name ? ` ("${facts.parent.name.slice(0, 80)}")` : '';
  throw new VdiStreamError('VHD_DIFFERENCING', `this VHD holds only the changes against its ${kind}${parent}, which is missing`, {
    member: name,
    offset: 60,
  });
}

const instant = (seconds: number): string => dateOf(seconds).toISOString().replace('.000', '');
