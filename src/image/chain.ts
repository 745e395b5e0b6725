/**
 * The one disk of an image: a single member, or a chain whose layers come in any order. `leaf.ts` finds its size.
 */

import type { Disk, DiskType, ExtentOptions, Identity } from '../disk/disk.ts';
import type { Buffers, Extent } from '../disk/extent.ts';
import { type Layer, overlay } from '../disk/overlay.ts';
import type { Tap } from '../disk/tap.ts';
import { assert, VdiStreamError } from '../errors.ts';
import { MAX_LAYERS } from '../ova/select.ts';
import type { Source } from '../source/source.ts';
import { createLayers, type Layers } from './layers.ts';
import { type Found, findLeaf, type LeafOptions } from './leaf.ts';
import type { StoredDisk } from './stored.ts';

interface FlattenOptions {
  readonly signal?: AbortSignal | undefined;
  /** As in `ExtentOptions`. */
  readonly tap?: Tap | undefined;
  /** Called with the bytes that all layers so far hold together. */
  readonly onAllocated?: ((bytes: number) => void) | undefined;
}

export interface ChosenDisk {
  /** Bytes. */
  readonly virtualSize: number;
  /** Bytes of the disk that the image holds, as far as known before the first extent. */
  readonly allocatedBytes: number;
  /** The leaf; undefined for a bare disk, and before the leaf has come. */
  readonly member: string | undefined;
  /** Of the leaf; undefined before it has come. */
  readonly type: DiskType | undefined;
  /** Number of layers, if it is known before the first extent. */
  readonly layers: number | undefined;
  /** Whether a later layer may overwrite extents of an earlier one. */
  readonly rewrites: boolean;
  /** Whether `virtualSize` is an assumption: then `extents` throws CHAIN_SIZE if the leaf has another size. */
  readonly isAssumed: boolean;
  /** Bytes of the topmost layer so far. */
  leafSize(): number | undefined;
  /**
   * Ends only when every source has been read to its end: the iteration throws for a second disk, a missing layer, a bad CRC or digest, or
   * a truncated archive.
   */
  extents(buffers: Buffers, options?: FlattenOptions): AsyncGenerator<Extent, DiskSummary, void>;
}

/** What is known about a disk once it has been read. */
export interface DiskSummary {
  /** The leaf; undefined for a bare disk. */
  readonly member: string | undefined;
  readonly type: DiskType;
  /** Bytes. May be less than before: see DiskEnd. */
  readonly virtualSize: number;
  /** Of the leaf. */
  readonly identity: Identity | undefined;
  /** Number of layers; 1 without a chain. */
  readonly layers: number;
  /** Bytes of the disk that all layers hold together, at block granularity. */
  readonly allocatedBytes: number;
  /** Files of the archive that do not belong to the disk. */
  readonly ignored: readonly string[];
}

/** The leaf of a chain comes after other layers, and the size of the disk is not known otherwise. */
interface LateLeaf {
  readonly lateAfter: string;
}

export const isLate = (found: ChosenDisk | LateLeaf): found is LateLeaf => 'lateAfter' in found;

export const leafIsLate = ({ lateAfter }: LateLeaf): VdiStreamError =>
  new VdiStreamError('CHAIN_ORDER', 'this layer precedes the leaf, so the size of the disk is not known yet', { member: lateAfter });

/**
 * The disk of one source, or of several that are the VHD files of a chain, leaf first. Seekable sources are checked now, before anything is
 * written.
 *
 * Throws DISK_…, CHAIN_… and what reading throws.
 */
export async function onlyDisk(sources: readonly Source[], options: LeafOptions): Promise<ChosenDisk | LateLeaf> {
  if (sources.length > MAX_LAYERS) throw new VdiStreamError('CHAIN_DEEP', `a chain of ${sources.length} layers`);
  const { image, anyParent } = options;
  const { choice, warn } = image;
  const found = await findLeaf(sources, options);
  const { first } = found;
  if (first.done) throw first.value.noDisk(sources[0]?.name ?? '', choice.disk);
  if (found.isLate) return { lateAfter: first.value.name };
  return chosenDisk(first.value, found, createLayers({ disk: choice.disk, anyParent, warn, leafSize: found.ahead?.size }));
}

/** The disk that begins with `first`, and has the others in `rest` as its layers. `layers` has none yet. */
export async function chosenDisk(first: StoredDisk, rest: Pick<Found, 'disks' | 'ahead'>, layers: Layers): Promise<ChosenDisk> {
  const { ahead } = rest;
  const disk = await first.open();
  const { name, member, place } = first;
  const leaf = ahead === undefined ? { name, type: disk.type } : ahead.leaf;
  return {
    member: member === undefined ? undefined : leaf?.name,
    type: leaf?.type,
    layers: ahead === undefined && place === undefined && first.leafFirst ? 1 : ahead?.layers,
    virtualSize: ahead?.size ?? disk.virtualSize,
    allocatedBytes: Math.max(disk.allocatedBytes, ahead?.allocatedBytes ?? 0),
    rewrites: !first.leafFirst,
    isAssumed: ahead?.isAssumed === true,
    leafSize: () => layers.leaf()?.virtualSize,
    extents: (buffers, flattening = {}) => flattened(first, disk, rest, layers, buffers, flattening),
  };
}

/** `first` and the disks after it, as one. */
async function* flattened(
  first: StoredDisk,
  disk: Disk,
  { disks, ahead }: Pick<Found, 'disks' | 'ahead'>,
  layers: Layers,
  buffers: Buffers,
  { signal, tap, onAllocated }: FlattenOptions,
): AsyncGenerator<Extent, DiskSummary, void> {
  const size = ahead?.size ?? disk.virtualSize;
  let allocatedBytes = 0;
  let ignored: readonly string[] = [];

  function layerOf({ name, place }: StoredDisk, opened: Disk): Layer {
    const rank = layers.add(name, place, opened);
    allocatedBytes += opened.allocatedBytes;
    onAllocated?.(Math.max(allocatedBytes, ahead?.allocatedBytes ?? 0));
    async function* extents(into: Buffers, options: ExtentOptions): AsyncGenerator<Extent, void, void> {
      layers.identify(rank, yield* opened.extents(into, options));
    }
    return { rank, virtualSize: opened.virtualSize, extents };
  }

  async function* others(): AsyncGenerator<Layer, void, void> {
    let next = await disks.next();
    for (; !next.done; next = await disks.next()) yield layerOf(next.value, await next.value.open());
    ignored = next.value.ignored;
    layers.complete(size);
  }

  const start = layerOf(first, disk);
  // A disk without a parent is most likely the only one. If another follows, that is a layer over it, or an error.
  const isWhole = (ahead === undefined || ahead.layers === 1) && disk.parent === undefined;
  if (isWhole) {
    yield* start.extents(buffers, { signal, tap });
    const more = others();
    const next = await more.next();
    if (!next.done) yield* overlay(startingWith(next.value, more), buffers, { size, signal, tap, given: start.rank });
  } else yield* overlay(startingWith(start, others()), buffers, { size, signal, tap });

  const leaf = layers.leaf();
  assert(leaf !== undefined, 'a disk has a leaf');
  const { name, type, identity, virtualSize } = leaf;
  const member = first.member === undefined ? undefined : name;
  return { member, type, virtualSize: Math.min(virtualSize, size), identity, layers: layers.count, allocatedBytes, ignored };
}

async function* startingWith<T>(first: T, rest: AsyncIterable<T>): AsyncGenerator<T, void, void> {
  yield first;
  yield* rest;
}
