/**
 * A chain, flattened as its layers stream past: each sector comes from the layer nearest the leaf that has it.
 *
 *   layer:      0 (leaf)        data . . data . zero .        . hole: reads as the next layer
 *               1               data data . . . data .
 *               2 (base)        data data . data data data .  . hole: reads as zero
 *   disk:                       0    1    . 0 2 0 .
 *
 * Layers arrive in any order. If the leaf precedes its parents, each sector is written once. If a parent precedes its leaf, sectors it
 * has already provided are provided again by a nearer layer; those extents have `overwrites` set, since not even zeros may be skipped
 * there. A layer ends at its own virtual size: past that the disk reads as zero, regardless of deeper layers.
 *
 * Memory: one sector set (`sectors.ts`) for each run of adjacent layers that have arrived: one in all if the layers arrive in order, up
 * or down, and at worst one for every second layer. For a chain of 2040 GiB a set takes 255 KiB, plus 512 bytes for each partly filled
 * 2 MiB.
 */

import { checkOptions } from '../arguments.ts';
import { checkArguments } from '../block-arguments.ts';
import { assert } from '../errors.ts';
import { cut, type Piece } from './cut.ts';
import type { ExtentOptions, Wanted } from './disk.ts';
import type { Buffers, EmptyExtent, Extent } from './extent.ts';
import { createSectorSet, type SectorSet } from './sectors.ts';
import { isReady, MANY_PIECES, type Tap, untapped } from './tap.ts';

export interface Layer {
  /** 0 is the leaf. */
  readonly rank: number;
  readonly virtualSize: number;
  extents(buffers: Buffers, options: ExtentOptions): AsyncIterable<Extent>;
}

/** Layers that have arrived, from rank `low` to rank `high` without a gap, and the sectors they provided. */
interface Group {
  readonly low: number;
  readonly high: number;
  readonly sectors: SectorSet;
}

export interface OverlayOptions {
  /** Bytes of the flattened disk: the virtual size of the leaf. */
  readonly size: number;
  readonly signal?: AbortSignal | undefined;
  /** The rank of a layer that has already provided every byte of the disk. */
  readonly given?: number | undefined;
  /** As in `ExtentOptions`. */
  readonly tap?: Tap | undefined;
}

/**
 * The extents of the flattened disk. Each layer is iterated to its end before the next is requested. Holes come last, since any layer
 * could fill them.
 */
export async function* overlay(
  layers: AsyncIterable<Layer>,
  buffers: Buffers,
  options: OverlayOptions,
): AsyncGenerator<Extent, void, void> {
  checkArguments('overlay', layers, buffers);
  checkOptions('overlay', options);
  const { size, signal, given, tap } = options;
  let groups: Group[] = [];
  if (given !== undefined) {
    const sectors = createSectorSet(size);
    sectors.add(0, size);
    groups.push({ low: given, high: given, sectors });
  }
  for await (const layer of layers) {
    const { rank, virtualSize } = layer;
    assert(!groups.some(({ low, high }) => low <= rank && rank <= high), 'a layer comes once');
    const provided = createSectorSet(size);
    const nearer = groups.filter(({ high }) => high < rank).map(({ sectors }) => sectors);
    const deeper = groups.filter(({ low }) => low > rank).map(({ sectors }) => sectors);
    const provide = (offset: number, end: number): Piece[] => {
      const pieces = split(outside(offset, Math.min(end, size), nearer), deeper);
      for (const piece of pieces) provided.add(piece.offset, piece.length);
      return pieces;
    };
    const wanted: Wanted = (offset, length) => outside(offset, Math.min(offset + length, size), nearer);

    const providedBy = ({ kind, offset, length }: Extent): Piece[] => (kind === 'hole' ? [] : provide(offset, offset + length));
    const layerTap: Tap | undefined = tap && {
      accepts: tap.accepts,
      take(extent) {
        for (const piece of piecesOf(extent, providedBy(extent))) tap.take(piece);
      },
    };

    for await (const extent of layer.extents(buffers, { signal, wanted, tap: layerTap })) {
      const pieces = providedBy(extent);
      const usable = tap !== undefined && pieces.length > MANY_PIECES && (await isReady(extent)) ? tap : undefined;
      yield* untapped(piecesOf(extent, pieces), usable);
    }
    yield* untapped(emptyExtents('zero', provide(virtualSize, size)), tap);
    groups = join([...groups, { low: rank, high: rank, sectors: provided }]);
  }
  const sets = groups.map(({ sectors }) => sectors);
  yield* untapped(emptyExtents('hole', outside(0, size, sets)), tap);
}

const piecesOf = (extent: Extent, pieces: readonly Piece[]): Iterable<Extent> =>
  extent.kind === 'data' ? cut(extent, pieces) : emptyExtents('zero', pieces);

const emptyExtents = (kind: EmptyExtent['kind'], pieces: readonly Piece[]): EmptyExtent[] => pieces.map((piece) => ({ kind, ...piece }));

/** The parts of [offset, end) that are in none of the sets. */
function outside(offset: number, end: number, sets: readonly SectorSet[]): Piece[] {
  let pieces: Piece[] = end > offset ? [{ offset, length: end - offset }] : [];
  for (const set of sets) pieces = pieces.flatMap((piece) => [...set.runs(piece.offset, piece.length)].filter(({ inside }) => !inside));
  return pieces;
}

/** Splits pieces into those inside one of the sets, which overwrite, and those outside. */
function split(pieces: Piece[], sets: readonly SectorSet[]): Piece[] {
  const [set, ...others] = sets;
  if (set === undefined) return pieces.map(({ offset, length }) => ({ offset, length }));
  const runs = pieces.flatMap((piece) => [...set.runs(piece.offset, piece.length)]);
  return runs.flatMap(({ offset, length, inside }) =>
    inside ? [{ offset, length, overwrites: true }] : split([{ offset, length }], others),
  );
}

/** Merges the sets of adjacent layers: no later layer can belong between them. */
function join(groups: Group[]): Group[] {
  const joined: Group[] = [];
  for (const group of groups.sort((a, b) => a.low - b.low)) {
    const last = joined.at(-1);
    if (last?.high !== group.low - 1) {
      joined.push(group);
      continue;
    }
    last.sectors.addAll(group.sectors);
    joined[joined.length - 1] = { ...last, high: group.high };
  }
  return joined;
}
