/** The layers that have come so far, and whether they are one disk. */

import type { DiskFacts, DiskType, Identity } from '../disk/disk.ts';
import { VdiStreamError } from '../errors.ts';
import { type Place, placeOf } from '../ova/select.ts';
import { checkBase, checkLink, type Link } from '../vhd/links.ts';
import type { OnWarning } from '../warnings.ts';

/** What is looked at of a layer. */
type LayerFacts = Pick<DiskFacts, 'type' | 'identity' | 'parent' | 'virtualSize'>;

interface LayerRules {
  /** The member that was asked for, if one was: the leaf, then, though there may be layers above it. */
  readonly disk?: string | undefined;
  /** Parents are taken whatever their unique id. */
  readonly anyParent: boolean;
  readonly warn: OnWarning;
}

export interface Layers {
  /**
   * Takes the next one and gives its rank. `name` is for messages, `place` where it stands in a chain.
   * Throws DISK_AMBIGUOUS, CHAIN_TYPE, CHAIN_PARENT.
   */
  add(name: string, place: Place | undefined, facts: LayerFacts): number;
  /** The layer has gone by, and with it the footer of a fixed disk in a stream. */
  identify(rank: number, identity: Identity | undefined): void;
  /** All have come; `size` is what the leaf must have, where that is known otherwise. Throws CHAIN_GAP, CHAIN_TYPE, CHAIN_PARENT, CHAIN_SIZE, VHD_DIFFERENCING. */
  complete(size?: number): void;
  readonly count: number;
  /** The one nearest to the leaf; undefined before the first. */
  leaf(): Leaf | undefined;
}

interface Leaf {
  readonly name: string;
  readonly rank: number;
  readonly type: DiskType;
  /** Once it is known: see `identify`. */
  readonly identity: Identity | undefined;
  readonly virtualSize: number;
}

interface KnownLayer extends Link {
  readonly rank: number;
  readonly place: Place | undefined;
  readonly virtualSize: number;
}

export function createLayers({ disk, anyParent, warn }: LayerRules): Layers {
  const leafRank = leafRankOf(disk);
  const known = new Map<number, KnownLayer>();
  /** Ranks of children whose link to their parent has been checked. */
  const linked = new Set<number>();

  function link(child: KnownLayer | undefined, parent: KnownLayer | undefined): void {
    if (child === undefined || parent === undefined || linked.has(child.rank)) return;
    // A fixed disk in a stream has no id before its end.
    if (parent.facts.type === 'fixed' && parent.facts.identity === undefined) return;
    linked.add(child.rank);
    checkLink(child, parent, { anyParent, warn });
  }

  const sorted = (): KnownLayer[] => [...known.values()].sort((a, b) => a.rank - b.rank);

  return {
    get count() {
      return known.size;
    },
    leaf() {
      const [leaf] = sorted();
      if (leaf === undefined) return undefined;
      const { name, rank, virtualSize, facts } = leaf;
      return { name, rank, virtualSize, type: facts.type, identity: facts.identity };
    },

    add(name, place, { type, identity, parent, virtualSize }) {
      const [first] = known.values();
      const rank = place?.rank ?? leafRank;
      if (known.get(rank)?.name === name) throw new VdiStreamError('DISK_DUPLICATE', `"${name}" is here twice`, { member: name });
      if (first !== undefined && (place === undefined || first.place?.chain !== place.chain || known.has(rank))) {
        throw new VdiStreamError('DISK_AMBIGUOUS', `the archive holds both "${first.name}" and "${name}", and none was chosen`, {
          member: name,
        });
      }
      // The BAT of a disk goes when the disk is done with, so no more of it is kept than this.
      const layer: KnownLayer = { name, rank, place, virtualSize, facts: { type, identity, parent } };
      known.set(rank, layer);
      // Neighbours by number are neighbours for sure; of the old names one in between may still come.
      if (place?.numbered) {
        link(known.get(rank - 1), layer);
        link(layer, known.get(rank + 1));
      }
      return rank;
    },

    identify(rank, identity) {
      const layer = known.get(rank);
      if (layer !== undefined) known.set(rank, { ...layer, facts: { ...layer.facts, identity } });
    },

    complete(size) {
      const layers = sorted();
      const [leaf] = layers;
      if (leaf === undefined) return;
      for (const [index, layer] of layers.entries()) {
        const rank = leafRank + index;
        if (layers.length === 1 || !layer.place?.numbered || layer.rank === rank) continue;
        throw new VdiStreamError('CHAIN_GAP', `layer ${rank} of the chain is missing, yet this one is there`, { member: layer.name });
      }
      for (const [index, layer] of layers.entries()) link(layer, layers[index + 1]);
      checkBase(layers);
      if (size !== undefined && leaf.virtualSize !== size) {
        throw new VdiStreamError('CHAIN_SIZE', `the leaf has ${leaf.virtualSize} bytes, not ${size}`, { member: leaf.name });
      }
    },
  };
}

/** Where the chain begins: at the top, unless a deeper layer was asked for by its name. */
export const leafRankOf = (wanted: string | undefined): number => (wanted === undefined ? 0 : (placeOf(wanted)?.rank ?? 0));

/** Whether a disk of this name is the leaf, if it is part of a chain at all. */
export const isLeaf = (place: Place | undefined, leafRank: number): boolean => place === undefined || place.rank === leafRank;

/** image.vhd is a complete disk far more often than the parent of a snap.vhd that is still to come. */
export const mayBeLeaf = (place: Place | undefined, leafRank: number): boolean =>
  isLeaf(place, leafRank) || (place?.numbered === false && place.rank === 1);
