/** Collects the layers of a disk and checks that they make one chain. */

import type { DiskEnd, DiskFacts, DiskType, Identity } from '../disk/disk.ts';
import { VdiStreamError } from '../errors.ts';
import { MAX_LAYERS, type Place, placeOf } from '../ova/select.ts';
import { checkBase, checkLink, isOver, type Link, type LinkFacts } from '../vhd/links.ts';
import type { OnWarning } from '../warnings.ts';
import { quoted } from './tree.ts';

/** What the checks need of a layer. */
export type LayerFacts = Pick<DiskFacts, 'type' | 'identity' | 'parent' | 'virtualSize'>;

interface LayerRules {
  /** The requested member, if any. It is the leaf, even if there are layers above it. */
  readonly disk?: string | undefined;
  /** Accept parents with any unique ID. */
  readonly anyParent: boolean;
  readonly warn: OnWarning;
  /** The expected size of the leaf, if known. */
  readonly leafSize?: number | undefined;
}

export interface Layers {
  /**
   * Adds a layer and returns its rank. `name` is for messages, `place` its position in the chain. Without one, or in another chain, it must
   * be the parent of the base so far, or a layer over the leaf so far, which then gets a negative rank.
   * Throws DISK_DUPLICATE, DISK_AMBIGUOUS, CHAIN_DEEP, CHAIN_ORDER, CHAIN_TYPE, CHAIN_PARENT, CHAIN_RAW_SIZE; CHAIN_SIZE for a layer that
   * its name makes the leaf.
   */
  add(name: string, place: Place | undefined, facts: LayerFacts): number;
  /** The layer has been read to its end, including the footer of a fixed disk in a stream. */
  identify(rank: number, end: DiskEnd): void;
  /**
   * All layers have been added. `size` is the expected size of the leaf, if known.
   * Throws CHAIN_GAP, CHAIN_TYPE, CHAIN_PARENT, CHAIN_LOOP, CHAIN_SIZE, VHD_DIFFERENCING.
   */
  complete(size?: number): void;
  readonly count: number;
  /** What is known of the layers so far, leaf first. */
  links(): readonly LinkFacts[];
  /** The topmost layer so far; undefined before the first. */
  leaf(): Leaf | undefined;
}

export interface Leaf {
  readonly name: string;
  readonly rank: number;
  readonly type: DiskType;
  /** May be undefined until `identify`. */
  readonly identity: Identity | undefined;
  readonly virtualSize: number;
}

interface AddedLayer extends Link {
  readonly rank: number;
  readonly place: Place | undefined;
  /** Once it has been read, where it may be less: see DiskEnd. */
  readonly endSize?: number;
}

export function createLayers({ disk, anyParent, warn, leafSize }: LayerRules): Layers {
  const leafRank = leafRankOf(disk);
  const added = new Map<number, AddedLayer>();
  /** Ranks of children whose link to their parent has been checked. */
  const linked = new Set<number>();

  function link(child: AddedLayer | undefined, parent: AddedLayer | undefined): void {
    if (child === undefined || parent === undefined || linked.has(child.rank)) return;
    // A fixed disk in a stream has no unique ID before its end.
    if (parent.facts.type === 'fixed' && parent.facts.identity === undefined) return;
    linked.add(child.rank);
    // Where no name says so, only the ID makes it the parent.
    if (parent.place === undefined && parent.facts.type === 'fixed' && !isOver(child.facts, parent.facts)) throw unlinked(parent, [child]);
    checkLink(child, parent, { anyParent, warn });
  }

  const sorted = (): AddedLayer[] => [...added.values()].sort((a, b) => a.rank - b.rank);

  return {
    get count() {
      return added.size;
    },
    links: () => sorted().map(({ facts }) => facts),
    leaf() {
      const [leaf] = sorted();
      if (leaf === undefined) return undefined;
      const { name, rank, facts, endSize = facts.virtualSize } = leaf;
      return { name, rank, virtualSize: endSize, type: facts.type, identity: facts.identity };
    },

    add(name, place, { type, identity, parent, virtualSize }) {
      if (added.size === MAX_LAYERS) throw new VdiStreamError('CHAIN_DEEP', `a chain of more than ${MAX_LAYERS} layers`, { member: name });
      // Keeps only these facts, so that the BAT can be freed once the disk has been read.
      const facts = { type, identity, parent, virtualSize };
      const rank = rankOf({ name, place, facts }, sorted(), leafRank);
      const layer: AddedLayer = { name, rank, place, facts };
      added.set(rank, layer);
      // Between layers with the old names another may follow.
      if (place?.by !== 'old-name') {
        link(added.get(rank - 1), layer);
        link(layer, added.get(rank + 1));
      }
      // That of a fixed disk may be less at its end.
      if (place !== undefined && rank === leafRank && type !== 'fixed') checkSize(layer, leafSize);
      return rank;
    },

    identify(rank, { identity, virtualSize }) {
      const layer = added.get(rank);
      if (layer !== undefined) added.set(rank, { ...layer, endSize: virtualSize, facts: { ...layer.facts, identity } });
    },

    complete(size) {
      const layers = sorted();
      const [leaf] = layers;
      if (leaf === undefined) return;
      refuseGaps(layers, leafRank);
      for (const [index, layer] of layers.entries()) link(layer, layers[index + 1]);
      checkBase(layers);
      if (leaf.endSize !== size) checkSize(leaf, size);
    },
  };
}

/** The rank of one more disk among `layers`, which are leaf first. Throws DISK_DUPLICATE, DISK_AMBIGUOUS or CHAIN_ORDER. */
function rankOf(disk: Omit<AddedLayer, 'rank'>, layers: readonly AddedLayer[], leafRank: number): number {
  const { name, place, facts } = disk;
  const [leaf, base] = [layers[0], layers.at(-1)];
  if (leaf === undefined || base === undefined) return place?.rank ?? leafRank;
  const sibling = place && layers.find((layer) => layer.place?.chain === place.chain);
  const rank = place && sibling?.place && sibling.rank + place.rank - sibling.place.rank;
  const present = layers.find((layer) => (rank === undefined ? layer.name === name : layer.rank === rank));
  if (present?.name === name) throw new VdiStreamError('DISK_DUPLICATE', `two members are named "${name}"`, { member: name });
  if (rank !== undefined) {
    if (present === undefined) return rank;
    throw unlinked(disk, [present]);
  }
  if (isOver(base.facts, facts)) return base.rank + 1;
  if (isOver(facts, leaf.facts)) return leaf.rank - 1;
  // Its ID is compared at its end. That of a raw disk is never right, unless the parent is raw.
  const isUnnamed = facts.type === 'raw' || (facts.type === 'fixed' && facts.identity === undefined);
  if (base.facts.parent !== undefined && isUnnamed) return base.rank + 1;
  throw unlinked(disk, layers);
}

/**
 * For a disk that is next to none of `layers`. If a layer between them may follow, nobody knows; two disks without a parent, or over the same
 * one, can be no chain.
 */
function unlinked({ name, place, facts }: Omit<AddedLayer, 'rank'>, layers: readonly AddedLayer[]): VdiStreamError {
  const [first, base] = [layers[0], layers.at(-1)];
  const parents = layers.map((layer) => layer.facts.parent?.uniqueId);
  const mayBe = place?.by !== 'link' && (facts.parent !== undefined || base?.facts.parent !== undefined);
  const isFork = facts.parent !== undefined && parents.includes(facts.parent.uniqueId);
  const both = `the archive holds both ${quoted(first?.name ?? '')} and ${quoted(name)}`;
  if (mayBe && !isFork && facts.type !== 'fixed') {
    const message = `${both}, and whether one is a layer over the other is not known before the rest of the stream`;
    return new VdiStreamError('CHAIN_ORDER', message, { member: name });
  }
  return new VdiStreamError('DISK_AMBIGUOUS', `${both}, and none was chosen`, { member: name });
}

/** Throws CHAIN_SIZE. */
function checkSize({ name, facts: { virtualSize } }: AddedLayer, size: number | undefined): void {
  if (size === undefined || virtualSize === size) return;
  throw new VdiStreamError('CHAIN_SIZE', `the leaf has ${virtualSize} bytes, not ${size}`, { member: name });
}

/** Throws CHAIN_GAP. */
function refuseGaps(layers: readonly AddedLayer[], leafRank: number): void {
  for (const [index, { name, place }] of layers.entries()) {
    const before = layers[index - 1]?.place;
    const missing = index === 0 ? leafRank : before?.chain === place?.chain ? (before?.rank ?? 0) + 1 : place?.rank;
    if (layers.length === 1 || place?.by !== 'number' || missing === place.rank) continue;
    throw new VdiStreamError('CHAIN_GAP', `layer ${missing} of the chain is missing, but this one is there`, { member: name });
  }
}

/** The rank of the leaf: 0, unless a deeper layer was requested by name. */
export const leafRankOf = (wanted: string | undefined): number => (wanted === undefined ? 0 : (placeOf(wanted)?.rank ?? 0));

/** Whether a disk of this name is the leaf, if it is part of a chain at all. */
export const isLeaf = (place: Place | undefined, leafRank: number): boolean => place === undefined || place.rank === leafRank;

/** Includes image.vhd: it is far more often a complete disk than the parent of a snap.vhd that follows. */
export const mayBeLeaf = (place: Place | undefined, leafRank: number): boolean =>
  isLeaf(place, leafRank) || (place?.by === 'old-name' && place.rank === 1);
