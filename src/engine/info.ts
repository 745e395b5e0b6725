/** Describes what an image holds. */

import { checkOptions } from '../arguments.ts';
import { type Compression, inflaterOf } from '../codec/compression.ts';
import type { InflateName } from '../codec/inflate.ts';
import type { DiskEnd, DiskFacts, DiskType, Parent, Range } from '../disk/disk.ts';
import { VdiStreamError } from '../errors.ts';
import { openFeed } from '../image/feed.ts';
import { createLayers, type LayerFacts, leafRankOf, mayBeLeaf } from '../image/layers.ts';
import type { StoredDisk } from '../image/stored.ts';
import { type Branch, branchesOf, branchPlaces, type TreeNode } from '../image/tree.ts';
import { type OnWarning, type Warning, warner } from '../warnings.ts';
import { inputOf } from './input.ts';
import { withSources } from './open.ts';
import type { DiskInput, ReadOptions } from './options.ts';
import { reading } from './progress.ts';

export interface InfoOptions extends ReadOptions {
  /** Stop as soon as the virtual size of the first disk is known, without reading the rest of the source. */
  readonly quick?: boolean | undefined;
  /** Throw STRICT for a warning about the image. */
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
  /** 32 hexadecimal digits. A raw disk has none, and a fixed VHD in a stream only once its end has been read. */
  readonly uniqueId: string | undefined;
  /** Seconds since 2000-01-01 UTC; undefined if the unique ID is. */
  readonly timestamp: number | undefined;
  /** What a differencing layer records about its parent. */
  readonly parent: Parent | undefined;
  /** Bytes of the disk that this layer holds, at block granularity. */
  readonly allocatedBytes: number;
  /** Where they are: MAP_CELLS numbers from 0 (nothing) to 1 (all of that part of the disk). */
  readonly map: readonly number[];
}

/** The facts of the leaf, and those of each layer. */
export interface DiskInfo extends LayerInfo {
  /** Leaf first; one layer for a disk that is not a chain. */
  readonly layers: readonly LayerInfo[];
}

export interface ImageInfo {
  readonly kind: 'vhd' | 'tar' | 'raw';
  readonly compression: Compression;
  /** What inflated the image, if it is gzipped. */
  readonly inflate: InflateName | undefined;
  readonly disks: readonly DiskInfo[];
  /** Virtual size for `xe vdi-create`; undefined if there are several disks. */
  readonly virtualSize: number | undefined;
  /** Files of the archive that belong to no disk. */
  readonly ignored: readonly string[];
  readonly warnings: readonly Warning[];
}

/** Number of parts into which the map divides a disk. */
const MAP_CELLS = 64;

/**
 * Reads the image to its end (with `quick`, only up to the first virtual size) and describes it. Only the structure is checked, so the data
 * may still be damaged. The wrong parent for a layer is only a warning here.
 */
export async function info(given: DiskInput, options: InfoOptions = {}): Promise<ImageInfo> {
  const input = inputOf('info', given);
  checkOptions('info', options);
  const { disk: wanted, raw, rawBase, manifest, inflate, sha256, signal, onProgress, strict, onWarning, quick = false } = options;
  const warnings: Warning[] = [];
  const warn = warner(warnings, { strict, onWarning });
  if (quick && sha256 !== undefined) {
    throw new VdiStreamError('USAGE', 'quick cannot check a SHA-256: it does not read the whole source');
  }
  return withSources(input, { sha256, signal, onWarning: warn, onRead: reading(onProgress) }, async (sources) => {
    const { kind, compression, disks } = await openFeed(sources, {
      choice: { disk: wanted, raw, rawBase, manifest, inflate },
      measure: true,
      warn,
    });
    const found: ReadDisk[] = [];
    let next = await disks.next();
    for (; !next.done; next = await disks.next()) {
      found.push(await readDisk(next.value, quick));
      if (quick && mayBeLeaf(next.value.place, leafRankOf(wanted))) break;
    }
    if (next.done && found.length === 0) throw next.value.noDisk(sources[0]?.name ?? '', wanted);
    const rawDisk = rawBase ? found.find(({ facts }) => facts.type === 'raw') : undefined;
    const infos = branchesOf(found, found, rawDisk).map((branch) => {
      if (!quick) checkBranch(branch, wanted, warn);
      return { ...branch[0].info, layers: branch.map((layer) => layer.info) };
    });
    const virtualSize = infos.length === 1 ? infos[0]?.virtualSize : undefined;
    const ignored = next.done ? next.value.ignored : [];
    return { kind, compression, inflate: inflaterOf(compression, inflate), disks: infos, virtualSize, ignored, warnings };
  });
}

interface ReadDisk extends TreeNode {
  readonly facts: LayerFacts;
  readonly info: LayerInfo;
}

async function readDisk({ name, member, place, open }: StoredDisk, quick: boolean): Promise<ReadDisk> {
  const disk = await open();
  const { type, parent, virtualSize } = disk;
  const map = mapOf(disk.allocated(), virtualSize);
  const end = quick ? disk : await disk.skip();
  return {
    name,
    place,
    facts: { type, parent, identity: end.identity, virtualSize: end.virtualSize },
    info: layerInfo(member, disk, end, map),
  };
}

function checkBranch(branch: Branch<ReadDisk>, wanted: string | undefined, warn: OnWarning): void {
  const layers = createLayers({ disk: wanted, anyParent: true, warn });
  const places = branchPlaces(branch);
  for (const [index, { name, facts }] of branch.entries()) layers.add(name, places[index], facts);
  layers.complete();
}

function layerInfo(member: string | undefined, disk: DiskFacts, { identity, virtualSize }: DiskEnd, map: readonly number[]): LayerInfo {
  const { type, blockSize, allocatedBytes, parent } = disk;
  const { creator, uniqueId, timestamp } = identity ?? {};
  return { member, type, virtualSize, blockSize, creator, uniqueId, timestamp, parent, allocatedBytes, map };
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
