/** What an image holds, without writing it anywhere. */

import type { Compression } from '../codec/compression.ts';
import type { DiskFacts, DiskType, Range } from '../disk/extent.ts';
import { VdiStreamError } from '../errors.ts';
import { noDisk } from '../image/chain.ts';
import { type Arrival, openFeed } from '../image/feed.ts';
import { createLayers, leafRankOf, mayBeLeaf } from '../image/layers.ts';
import { type OnWarning, type Warning, warner } from '../warnings.ts';
import { withSources } from './open.ts';
import type { DiskInput, ReadOptions } from './options.ts';
import { reading } from './progress.ts';

export interface InfoOptions extends ReadOptions {
  /** Stop as soon as the virtual size of the first disk is known; the rest of the source is not looked at. */
  readonly quick?: boolean | undefined;
  /** What is odd about the image is an error, STRICT, instead of a warning. */
  readonly strict?: boolean | undefined;
  readonly onWarning?: OnWarning | undefined;
}

/** Sizes in bytes. */
export interface LayerInfo {
  readonly member: string | undefined;
  readonly type: DiskType;
  readonly virtualSize: number;
  readonly blockSize: number | undefined;
  readonly creator: string | undefined;
  /** Bytes of the disk that this layer holds, at block granularity. */
  readonly allocatedBytes: number;
  /** Where they lie: MAP_CELLS numbers from 0 (nothing) to 1 (all of this part of the disk). */
  readonly map: readonly number[];
}

/** The leaf's facts; of a chain, `layers` has those of each layer, leaf first. */
export interface DiskInfo extends LayerInfo {
  /** One for a disk that is complete in itself. */
  readonly layers: readonly LayerInfo[];
}

export interface ImageInfo {
  readonly kind: 'vhd' | 'tar' | 'raw';
  readonly compression: Compression;
  readonly disks: readonly DiskInfo[];
  /** Of the one disk, the number for `xe vdi-create`; undefined where there are several. */
  readonly virtualSize: number | undefined;
  /** Files of the archive that are no part of any disk. */
  readonly ignored: readonly string[];
  readonly warnings: readonly Warning[];
}

/** Parts that the map cuts a disk into. */
export const MAP_CELLS = 64;

/**
 * Reads the image to its end (with `quick`, only as far as the first virtual size) and tells what is in it. An image that
 * `info` reads without an error may still hold damaged data: only its structure is looked at. A parent that is not the one
 * a layer was made over is a warning here.
 */
export async function info(input: DiskInput, options: InfoOptions = {}): Promise<ImageInfo> {
  const warnings: Warning[] = [];
  const warn = warner(warnings, options);
  if (options.quick && options.sha256 !== undefined) {
    throw new VdiStreamError('USAGE', 'a quick look does not read what a SHA-256 is checked with');
  }
  return withSources(input, { ...options, onWarning: warn, onRead: reading(options.onProgress) }, async (sources) => {
    const feed = await openFeed(sources, { ...options, warn });
    const chains = new Map<string, Chain>();
    for await (const arrival of feed.arrivals) {
      const chain = chains.get(arrival.chain) ?? newChain(options, warn);
      chains.set(arrival.chain, chain);
      await chain.add(arrival, options.quick === true);
      if (options.quick && mayBeLeaf(arrival.place, leafRankOf(options.disk))) break;
    }
    if (chains.size === 0) throw noDisk(sources[0]?.name ?? '', options.disk, feed.ignored());
    const disks = [...chains.values()].map((chain) => chain.finish(options.quick === true));
    const [image] = feed.images;
    const { kind = 'vhd', compression = 'none' } = image ?? {};
    const virtualSize = disks.length === 1 ? disks[0]?.virtualSize : undefined;
    return { kind, compression, disks, virtualSize, ignored: feed.ignored(), warnings };
  });
}

interface Chain {
  add(arrival: Arrival, quick: boolean): Promise<void>;
  finish(quick: boolean): DiskInfo;
}

function newChain({ disk }: InfoOptions, warn: OnWarning): Chain {
  const layers = createLayers({ disk, anyParent: true, warn });
  const found: { readonly rank: number; readonly info: LayerInfo }[] = [];

  return {
    async add({ name, member, place, open }, quick) {
      const disk = await open();
      const rank = layers.add(name, place, disk);
      const map = mapOf(disk.allocated(), disk.virtualSize);
      if (!quick) await disk.skip();
      // Only now: the footer that ends a fixed disk in a stream has gone by.
      found.push({ rank, info: layerInfo(member, disk, map) });
    },
    finish(quick) {
      const infos = found.sort((a, b) => a.rank - b.rank).map(({ info }) => info);
      const [leaf] = infos;
      if (leaf === undefined) throw new RangeError('a chain without layers');
      if (!quick) layers.complete();
      return { ...leaf, layers: infos };
    },
  };
}

function layerInfo(member: string | undefined, disk: DiskFacts, map: readonly number[]): LayerInfo {
  const { type, virtualSize, blockSize, allocatedBytes, identity } = disk;
  return { member, type, virtualSize, blockSize, creator: identity.creator, allocatedBytes, map };
}

function mapOf(ranges: Iterable<Range>, size: number): number[] {
  const cell = size / MAP_CELLS;
  const map = new Array<number>(MAP_CELLS).fill(0);
  for (const { offset, length } of ranges) {
    const last = Math.min(MAP_CELLS - 1, Math.floor((offset + length - 1) / cell));
    for (let index = Math.floor(offset / cell); index <= last; index++) {
      const overlap = Math.min(offset + length, (index + 1) * cell) - Math.max(offset, index * cell);
      map[index] = Math.min(1, (map[index] ?? 0) + Math.max(0, overlap) / cell);
    }
  }
  return map;
}
