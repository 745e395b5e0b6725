/**
 * A chain, flattened while its layers go by: a layer gives a sector unless a layer nearer the leaf has given it.
 *
 *   layer:      0 (leaf)        data . . data . zero .        . hole: the next layer shows
 *               1               data data . . . data .
 *               2 (base)        data data . data data data .  . hole: reads as zero
 *   disk:                       0    1    . 0 2 0 .
 *
 * Layers come in any order. A leaf before its parents needs nothing twice: what is owned is left out. A parent before its
 * leaf has given sectors that a nearer layer gives again; such an extent says that it `overwrites`, for then not even zeros
 * may be skipped. A layer ends at its own virtual size: behind it the disk reads as zero, whatever deeper layers hold there.
 *
 * Memory: one set of sectors (`sectors.ts`: a bit a sector for partly filled 2 MiB, else one mark) for each run of layers
 * that have come and that no missing layer stands between: one set in all when the layers come in order, up or down, and
 * at worst one for every second layer. So a chain of 2040 GiB takes 255 KiB and 512 bytes for each partly filled 2 MiB.
 */

import { assert } from '../errors.ts';
import { cut, type Piece } from './cut.ts';
import type { ExtentOptions, Wanted } from './disk.ts';
import type { Buffers, Extent } from './extent.ts';
import { createSectorSet, type SectorSet } from './sectors.ts';

export interface Layer {
  /** 0 is the leaf. */
  readonly rank: number;
  readonly virtualSize: number;
  extents(buffers: Buffers, options: ExtentOptions): AsyncIterable<Extent>;
}

/** Layers that have come, from rank `low` to rank `high` without a gap, and the sectors they have given. */
interface Group {
  readonly low: number;
  readonly high: number;
  readonly sectors: SectorSet;
}

export interface OverlayOptions {
  /** The flattened disk, which is the leaf's virtual size, bytes. */
  readonly size: number;
  readonly signal?: AbortSignal | undefined;
  /** The rank of a layer that has given every byte of the disk already. */
  readonly given?: number | undefined;
}

/**
 * The extents of the flattened disk. Each layer is iterated to its end before the next is asked for. Holes come last, when it is known
 * that no layer fills them.
 */
export async function* overlay(
  layers: AsyncIterable<Layer>,
  buffers: Buffers,
  { size, signal, given }: OverlayOptions,
): AsyncGenerator<Extent, void, void> {
  let groups: Group[] = [];
  if (given !== undefined) {
    const sectors = createSectorSet(size);
    sectors.add(0, size);
    groups.push({ low: given, high: given, sectors });
  }
  for await (const layer of layers) {
    const { rank, virtualSize } = layer;
    assert(!groups.some(({ low, high }) => low <= rank && rank <= high), 'a layer comes once');
    const own = createSectorSet(size);
    const nearer = groups.filter(({ high }) => high < rank).map(({ sectors }) => sectors);
    const deeper = groups.filter(({ low }) => low > rank).map(({ sectors }) => sectors);
    const give = (offset: number, end: number): Piece[] => {
      const pieces = split(outside(offset, Math.min(end, size), nearer), deeper);
      for (const piece of pieces) own.add(piece.offset, piece.length);
      return pieces;
    };
    const wanted: Wanted = (offset, length) => outside(offset, Math.min(offset + length, size), nearer);

    for await (const extent of layer.extents(buffers, { signal, wanted })) {
      if (extent.kind === 'hole') continue;
      const pieces = give(extent.offset, extent.offset + extent.length);
      if (extent.kind === 'data') yield* cut(extent, pieces);
      else for (const piece of pieces) yield { kind: 'zero', ...piece };
    }
    for (const piece of give(virtualSize, size)) yield { kind: 'zero', ...piece };
    groups = join([...groups, { low: rank, high: rank, sectors: own }]);
  }
  const all = groups.map(({ sectors }) => sectors);
  for (const { offset, length } of outside(0, size, all)) yield { kind: 'hole', offset, length };
}

/** What of [offset, end) is in none of the sets. */
function outside(offset: number, end: number, sets: readonly SectorSet[]): Piece[] {
  let pieces: Piece[] = end > offset ? [{ offset, length: end - offset }] : [];
  for (const set of sets) pieces = pieces.flatMap((piece) => [...set.runs(piece.offset, piece.length)].filter(({ inside }) => !inside));
  return pieces;
}

/** Parts pieces into those that overwrite what is in one of the sets, and those that do not. */
function split(pieces: Piece[], sets: readonly SectorSet[]): Piece[] {
  const [set, ...others] = sets;
  if (set === undefined) return pieces.map(({ offset, length }) => ({ offset, length }));
  const runs = pieces.flatMap((piece) => [...set.runs(piece.offset, piece.length)]);
  return runs.flatMap(({ offset, length, inside }) =>
    inside ? [{ offset, length, overwrites: true }] : split([{ offset, length }], others),
  );
}

/** Sets of layers that follow one another become one: nothing that is still to come can stand between them. */
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
