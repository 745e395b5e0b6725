/**
 * The one disk of an image, whether that is a single member or a chain of them, in whatever order they come. `leaf.ts` finds
 * out how large it is.
 */

import type { Disk, DiskType, ExtentOptions, Identity } from '../disk/disk.ts';
import type { Buffers, Extent } from '../disk/extent.ts';
import { type Layer, overlay } from '../disk/overlay.ts';
import { assert, VdiStreamError } from '../errors.ts';
import { MAX_LAYERS } from '../ova/select.ts';
import type { Source } from '../source/source.ts';
import { createLayers, type Layers } from './layers.ts';
import { type Found, findLeaf, type LeafOptions } from './leaf.ts';
import type { StoredDisk } from './stored.ts';

interface FlattenOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes that all layers together hold, as far as they have come. */
  readonly onAllocated?: ((bytes: number) => void) | undefined;
}

export interface ChosenDisk {
  /** Bytes. */
  readonly virtualSize: number;
  /** Bytes of it that the image holds, as far as that is known before the first extent. */
  readonly allocatedBytes: number;
  /** Whether an extent may be given again, by a layer that comes later. */
  readonly rewrites: boolean;
  /**
   * Ends only when every source has been read to its end: a second disk, a missing layer, a bad CRC or digest, a cut archive are errors of
   * the iteration.
   */
  extents(buffers: Buffers, options?: FlattenOptions): AsyncGenerator<Extent, DiskSummary, void>;
}

/** What is known of a disk once it has been read. */
export interface DiskSummary {
  /** The leaf; undefined for a bare disk. */
  readonly member: string | undefined;
  readonly type: DiskType;
  /** Of the leaf. */
  readonly identity: Identity | undefined;
  /** 1, or as many as the chain has. */
  readonly layers: number;
  /** Bytes of the disk that all layers together hold, at block granularity. */
  readonly allocatedBytes: number;
  /** Files of the archive that are no part of the disk. */
  readonly ignored: readonly string[];
}

/** The leaf of a chain comes after other layers, and nothing else gives the size of the disk in time. */
export interface LateLeaf {
  readonly lateAfter: string;
}

export const isLate = (found: ChosenDisk | LateLeaf): found is LateLeaf => 'lateAfter' in found;

export const leafIsLate = ({ lateAfter }: LateLeaf): VdiStreamError =>
  new VdiStreamError('CHAIN_ORDER', 'this layer comes before the leaf, which alone says how large the disk is', { member: lateAfter });

/**
 * The disk of one source, or of several that are the VHD files of a chain, leaf first. Where the sources can be jumped through, all that
 * can be known is known now, before anything is written.
 *
 * Throws DISK_…, CHAIN_… and whatever reading throws.
 */
export async function onlyDisk(sources: readonly Source[], options: LeafOptions): Promise<ChosenDisk | LateLeaf> {
  if (sources.length > MAX_LAYERS) throw new VdiStreamError('CHAIN_DEEP', `a chain of ${sources.length} layers`);
  const { image, anyParent } = options;
  const { choice, warn } = image;
  const found = await findLeaf(sources, options);
  const { first, ahead } = found;
  if (first.done) throw noDisk(sources[0]?.name ?? '', choice.disk, first.value);
  if (found.isLate) return { lateAfter: first.value.name };
  const disk = await first.value.open();
  const layers = createLayers({ disk: choice.disk, anyParent, warn });
  return {
    virtualSize: ahead?.size ?? disk.virtualSize,
    allocatedBytes: Math.max(disk.allocatedBytes, ahead?.allocatedBytes ?? 0),
    rewrites: first.value.place !== undefined && !first.value.leafFirst,
    extents: (buffers, flattening = {}) => flattened(first.value, disk, found, layers, buffers, flattening),
  };
}

/** `first` and all that follow it, as one disk. */
async function* flattened(
  first: StoredDisk,
  disk: Disk,
  { disks, ahead }: Found,
  layers: Layers,
  buffers: Buffers,
  { signal, onAllocated }: FlattenOptions,
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
    ignored = next.value;
    layers.complete(size);
  }

  const start = layerOf(first, disk);
  // A whole disk is most likely the only one. A layer that comes all the same was made over it, or is an error.
  const isWhole = (ahead === undefined || ahead.layers === 1) && disk.parent === undefined;
  if (isWhole) {
    yield* start.extents(buffers, { signal });
    const more = others();
    const next = await more.next();
    if (!next.done) yield* overlay(startingWith(next.value, more), buffers, { size, signal, given: start.rank });
  } else yield* overlay(startingWith(start, others()), buffers, { size, signal });

  const leaf = layers.leaf();
  assert(leaf !== undefined, 'a disk has a leaf');
  const { name, type, identity } = leaf;
  const member = first.member === undefined ? undefined : name;
  return { member, type, identity, layers: layers.count, allocatedBytes, ignored };
}

async function* startingWith<T>(first: T, rest: AsyncIterable<T>): AsyncGenerator<T, void, void> {
  yield first;
  yield* rest;
}

export function noDisk(source: string, wanted: string | undefined, ignored: readonly string[]): VdiStreamError {
  const vmdk = ignored.find((name) => /\.vmdk$/i.test(name));
  if (wanted !== undefined) return new VdiStreamError('DISK_NOT_FOUND', `${source} holds no member "${wanted}"`);
  if (vmdk !== undefined)
    return new VdiStreamError('FORMAT_OTHER', 'this is VMDK, and no VHD is in the archive', { member: vmdk, offset: 0 });
  return new VdiStreamError('DISK_NONE', `${source} holds no VHD`);
}
