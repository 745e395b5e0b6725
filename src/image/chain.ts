/**
 * The one disk of an image, whether that is a single member or a chain of them, in whatever order they come. `leaf.ts` finds
 * out how large it is.
 */

import type { Disk, DiskType } from '../disk/extent.ts';
import { type Layer, overlay } from '../disk/overlay.ts';
import { VdiStreamError } from '../errors.ts';
import { MAX_LAYERS } from '../ova/select.ts';
import type { Source } from '../source/source.ts';
import type { Arrival, Feed } from './feed.ts';
import { createLayers, type Layers } from './layers.ts';
import { type Ahead, findLeaf, type LeafOptions } from './leaf.ts';

export interface ChosenDisk {
  readonly disk: Disk;
  /** The leaf of what has come so far. */
  leaf(): { readonly member: string | undefined; readonly type: DiskType };
  /** Whether an extent may be given again, by a layer that comes later. */
  readonly rewrites: boolean;
  /** Layers that have come so far. */
  layers(): number;
  ignored(): readonly string[];
}

/**
 * The disk of one source, or of several that are the VHD files of a chain, leaf first. Its `extents` end only when every source
 * has been read to its end: a second disk, a missing layer, a bad CRC or digest, a cut archive are errors of its iteration.
 * Where the sources can be jumped through, all that can be known is known now, before anything is written.
 *
 * Throws DISK_…, CHAIN_… and whatever reading throws.
 */
export async function onlyDisk(sources: readonly Source[], options: LeafOptions): Promise<ChosenDisk> {
  if (sources.length > MAX_LAYERS) throw new VdiStreamError('CHAIN_DEEP', `a chain of ${sources.length} layers`);
  const { feed, first, ahead } = await findLeaf(sources, options);
  if (first === undefined) throw noDisk(sources[0]?.name ?? '', options.disk, feed.ignored());
  const { member, place } = first;
  const disk = await first.open();
  const layers = createLayers(options);
  return {
    disk: joined(first, disk, feed, layers, ahead),
    leaf() {
      const { name, type } = layers.leaf() ?? { name: first.name, type: disk.type };
      return { member: member === undefined ? undefined : name, type };
    },
    rewrites: place !== undefined && !feed.leafFirst(),
    layers: () => layers.count,
    ignored: () => feed.ignored(),
  };
}

/** `first` and all that follow it, as one disk. */
function joined(first: Arrival, disk: Disk, feed: Feed, layers: Layers, ahead: Ahead | undefined): Disk {
  const size = ahead?.size ?? disk.virtualSize;
  const rank = layers.add(first.name, first.place, disk);
  let allocatedBytes = disk.allocatedBytes;

  async function* others(): AsyncGenerator<Layer, void, void> {
    for await (const next of feed.arrivals) {
      const opened = await next.open();
      allocatedBytes += opened.allocatedBytes;
      yield { rank: layers.add(next.name, next.place, opened), disk: opened };
    }
    layers.complete(size);
  }

  async function* all(): AsyncGenerator<Layer, void, void> {
    yield { rank, disk };
    yield* others();
  }

  // A whole disk is the only one, nearly always. Whatever comes all the same was made over it, or is an error.
  const whole = (ahead === undefined || ahead.layers === 1) && disk.parent === undefined;

  return {
    type: disk.type,
    virtualSize: size,
    blockSize: disk.blockSize,
    identity: disk.identity,
    parent: undefined,
    get allocatedBytes() {
      return Math.max(allocatedBytes, ahead?.allocatedBytes ?? 0);
    },
    allocated: () => disk.allocated(),
    async skip() {
      for await (const layer of all()) await layer.disk.skip();
    },
    async *extents(buffers, signal) {
      if (!whole) return yield* overlay(all(), size, buffers, signal);
      yield* disk.extents(buffers, signal);
      const more = others();
      const next = await more.next();
      if (!next.done) yield* overlay(startingWith(next.value, more), size, buffers, signal, rank);
    },
  };
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
