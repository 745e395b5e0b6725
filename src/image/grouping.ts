/**
 * Grouping: whether a member of an archive is a layer of the disk at hand or begins another one. With a plan, the plan says so; in a stream,
 * what has come before does.
 */

import { VdiStreamError } from '../errors.ts';
import { isOver, isOverRaw, linkId } from '../vhd/links.ts';
import { isLeaf, type LayerFacts, type Layers, type Leaf, mayBeLeaf } from './layers.ts';
import type { Ahead } from './leaf.ts';
import type { StoredDisk } from './stored.ts';
import { quoted } from './tree.ts';

export interface PlannedDisk extends Ahead {
  readonly leaf: Leaf;
  readonly layers: number;
  /** The leaf; undefined for a bare disk. */
  readonly member: string | undefined;
  /** The names of its layers. */
  readonly members: ReadonlySet<string>;
}

interface Grouping {
  /** A disk begins with `first`, and its layers will be in `layers`. Returns what is known of it. Throws DISK_DUPLICATE and DISK_ORDER. */
  begin(first: StoredDisk, layers: Layers): PlannedDisk | undefined;
  /** Whether `next` is a layer of the disk at hand. All before it have been read. Throws DISK_DUPLICATE and DISK_ORDER. */
  continues(next: StoredDisk): Promise<boolean>;
  /** The disk at hand has no more layers. Throws DISK_ORDER. */
  end(): void;
}

export function plannedGrouping(plan: readonly PlannedDisk[]): Grouping {
  let current: PlannedDisk | undefined;
  let present = 0;
  const between = (name: string): VdiStreamError =>
    new VdiStreamError('DISK_ORDER', 'this disk lies between the layers of another one', { member: name });
  return {
    begin({ name }) {
      const planned = plan.find(({ members }) => members.has(name));
      if (planned === undefined || planned === current) throw between(name);
      current = planned;
      present = 1;
      return planned;
    },
    async continues({ name }) {
      if (current?.members.has(name)) {
        present++;
        return true;
      }
      if (present < (current?.members.size ?? 0)) throw between(name);
      return false;
    },
    end() {},
  };
}

/** A limit on what is kept about a hostile archive. */
const MAX_MEMBERS = 1024;

/** Of an archive in a stream. */
export function streamGrouping(): Grouping {
  const names = new Set<string>();
  /** Of the disks before the one at hand: the keys of their chains, and the unique IDs of their layers. */
  const chains = new Set<string>();
  const ids = new Set<string>();
  let rawDisks = 0;
  let overRaw = false;
  let current: { readonly chain: string | undefined; readonly layers: Layers; leafIsHere: boolean } | undefined;

  function addName(name: string): void {
    if (names.has(name)) throw new VdiStreamError('DISK_DUPLICATE', `two members are named "${name}"`, { member: name });
    if (names.size === MAX_MEMBERS) throw new VdiStreamError('DISK_AMBIGUOUS', `the archive holds more than ${MAX_MEMBERS} disks`);
    names.add(name);
  }

  /** By the place that the names of both have; undefined if that does not decide. */
  function byPlace({ name, place }: StoredDisk): boolean | undefined {
    if (current === undefined || place === undefined) return undefined;
    if (place.chain === current.chain) return true;
    if (chains.has(place.chain)) throw tooLate(name, 'another disk lies between it and the other layers of its chain');
    return undefined;
  }

  return {
    begin({ name, place }, layers) {
      // The others have been added by `continues`.
      if (names.size === 0) addName(name);
      if (place !== undefined && chains.has(place.chain)) throw tooLate(name, 'another disk lies between the layers of its chain');
      current = { chain: place?.chain, layers, leafIsHere: mayBeLeaf(place, 0) };
      return undefined;
    },
    async continues(next) {
      addName(next.name);
      if (current === undefined) return false;
      const isNamed = byPlace(next);
      if (isNamed === true) {
        current.leafIsHere ||= isLeaf(next.place, 0);
        return true;
      }
      // A parent whose chain begins here. It is not opened, so that it can be staged.
      if (next.place !== undefined && !mayBeLeaf(next.place, 0) && hasBase(current.layers)) return false;
      if (!current.leafIsHere) throw tooLate(next.name, 'it comes before the leaf of the disk before it');
      return isLinked(next.name, await next.open(), current.layers, ids);
    },
    end() {
      if (current === undefined) return;
      const { chain, layers } = current;
      if (chain !== undefined) chains.add(chain);
      for (const facts of layers.links()) {
        const id = linkId(facts);
        if (facts.type === 'raw') rawDisks++;
        else if (id !== undefined) ids.add(id);
        overRaw ||= isOverRaw(facts);
      }
      if (overRaw && rawDisks > 1) {
        throw new VdiStreamError('DISK_ORDER', `the archive holds ${rawDisks} raw disks, and a layer over a raw disk does not say which`);
      }
      current = undefined;
    },
  };
}

/** Whether a disk is the parent of the disk with `layers`, or a layer over it, by unique ID. `ids` are those of the disks before. */
function isLinked(name: string, facts: LayerFacts, { links, leaf: top }: Layers, ids: ReadonlySet<string>): boolean {
  const layers = links();
  const [leaf, base] = [layers[0], layers.at(-1)];
  if (leaf === undefined || base === undefined) return false;
  if (isOver(base, facts)) return true;
  if (isOver(facts, leaf)) {
    if (facts.virtualSize === top()?.virtualSize) return true;
    throw tooLate(name, 'it is a layer over the disk before it, and has another size');
  }
  const parent = facts.parent?.uniqueId;
  if (parent !== undefined && (ids.has(parent) || layers.some((layer) => linkId(layer) === parent))) {
    throw tooLate(name, 'its parent came before it, as part of another disk');
  }
  if (base.parent === undefined) return false;
  // It has its ID at its end, where that is compared.
  if (facts.type === 'fixed' && facts.identity === undefined) return true;
  throw tooLate(name, 'it comes before the parent of the disk before it');
}

const hasBase = ({ links }: Layers): boolean => links().at(-1)?.parent === undefined;

const tooLate = (member: string, why: string): VdiStreamError =>
  new VdiStreamError('DISK_ORDER', `${quoted(member)} cannot be read in this pass: ${why}`, { member });
