/** Collects the layers of a disk and checks that they make one chain. */

import type { DiskEnd, DiskFacts, DiskType, Identity } from '../disk/disk.ts';
import { VdiStreamError } from '../errors.ts';
import { type Place, placeOf } from '../ova/select.ts';
import { checkBase, checkLink, type Link } from '../vhd/links.ts';
import type { OnWarning } from '../warnings.ts';

/** What the checks need of a layer. */
type LayerFacts = Pick<DiskFacts, 'type' | 'identity' | 'parent' | 'virtualSize'>;

interface LayerRules {
  /** The requested member, if any. It is the leaf, even if there are layers above it. */
  readonly disk?: string | undefined;
  /** Accept parents with any unique ID. */
  readonly anyParent: boolean;
  readonly warn: OnWarning;
}

export interface Layers {
  /**
   * Adds a layer and returns its rank. `name` is for messages, `place` its position in the chain.
   * Throws DISK_DUPLICATE, DISK_AMBIGUOUS, CHAIN_TYPE, CHAIN_PARENT.
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
  readonly virtualSize: number;
  /** Once it has been read, where it may be less: see DiskEnd. */
  readonly endSize?: number;
}

export function createLayers({ disk, anyParent, warn }: LayerRules): Layers {
  const leafRank = leafRankOf(disk);
  const added = new Map<number, AddedLayer>();
  /** Ranks of children whose link to their parent has been checked. */
  const linked = new Set<number>();

  function link(child: AddedLayer | undefined, parent: AddedLayer | undefined): void {
    if (child === undefined || parent === undefined || linked.has(child.rank)) return;
    // A fixed disk in a stream has no unique ID before its end.
    if (parent.facts.type === 'fixed' && parent.facts.identity === undefined) return;
    linked.add(child.rank);
    checkLink(child, parent, { anyParent, warn });
  }

  const sorted = (): AddedLayer[] => [...added.values()].sort((a, b) => a.rank - b.rank);

  return {
    get count() {
      return added.size;
    },
    leaf() {
      const [leaf] = sorted();
      if (leaf === undefined) return undefined;
      const { name, rank, virtualSize, endSize = virtualSize, facts } = leaf;
      return { name, rank, virtualSize: endSize, type: facts.type, identity: facts.identity };
    },

    add(name, place, { type, identity, parent, virtualSize }) {
      const [first] = added.values();
      const rank = place?.rank ?? leafRank;
      if (added.get(rank)?.name === name) throw new VdiStreamError('DISK_DUPLICATE', `two members are named "${name}"`, { member: name });
      if (first !== undefined && (place === undefined || first.place?.chain !== place.chain || added.has(rank))) {
        throw new VdiStreamError('DISK_AMBIGUOUS', `the archive holds both "${first.name}" and "${name}", and none was chosen`, {
          member: name,
        });
      }
      // Keeps only these facts, so that the BAT can be freed once the disk has been read.
      const layer: AddedLayer = { name, rank, place, virtualSize, facts: { type, identity, parent } };
      added.set(rank, layer);
      // Numbered layers with adjacent ranks are linked. With the old names, a layer between them may follow.
      if (place?.numbered) {
        link(added.get(rank - 1), layer);
        link(layer, added.get(rank + 1));
      }
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
      for (const [index, layer] of layers.entries()) {
        const rank = leafRank + index;
        if (layers.length === 1 || !layer.place?.numbered || layer.rank === rank) continue;
        throw new VdiStreamError('CHAIN_GAP', `layer ${rank} of the chain is missing, but this one is there`, { member: layer.name });
      }
      for (const [index, layer] of layers.entries()) link(layer, layers[index + 1]);
      checkBase(layers);
      if (size !== undefined && leaf.virtualSize !== size && leaf.endSize !== size) {
        throw new VdiStreamError('CHAIN_SIZE', `the leaf has ${leaf.virtualSize} bytes, not ${size}`, { member: leaf.name });
      }
    },
  };
}

/** The rank of the leaf: 0, unless a deeper layer was requested by name. */
export const leafRankOf = (wanted: string | undefined): number => (wanted === undefined ? 0 : (placeOf(wanted)?.rank ?? 0));

/** Whether a disk of this name is the leaf, if it is part of a chain at all. */
export const isLeaf = (place: Place | undefined, leafRank: number): boolean => place === undefined || place.rank === leafRank;

/** Includes image.vhd: it is far more often a complete disk than the parent of a snap.vhd that follows. */
export const mayBeLeaf = (place: Place | undefined, leafRank: number): boolean =>
  isLeaf(place, leafRank) || (place?.numbered === false && place.rank === 1);
