/**
 * The one disk of an image, whether that is a single member or a chain of them, in whatever order they come.
 *
 * Its size is the leaf's, and is needed before the first byte is written. Where the leaf does not come first, a source that can
 * go back is looked through for it; for others the caller tells it, or the layers before the leaf are kept in a folder.
 */

import { VdiStreamError, type Warn } from '../errors.ts';
import type { Disk } from '../extent.ts';
import { compressionOf, MAGIC_BYTES } from '../io/compression.ts';
import type { Source } from '../io/source.ts';
import { stage } from '../io/staging.ts';
import { MAX_LAYERS } from '../ova/select.ts';
import { type Layer, overlay } from '../vhd/overlay.ts';
import { type Arrival, type Feed, type FeedOptions, openFeed } from './feed.ts';
import { createLayers, isLeaf, type Layers, leafRankOf, mayBeLeaf } from './layers.ts';

export interface ChainOptions extends FeedOptions {
  /** Bytes: what the leaf will turn out to have. */
  readonly virtualSize?: number | undefined;
  /** A folder for layers that come before the leaf. */
  readonly staging?: string | undefined;
  /** Parents are taken whatever their unique id. */
  readonly anyParent: boolean;
  readonly warn: Warn;
}

export interface ChosenDisk {
  readonly disk: Disk;
  /** The leaf of what has come so far; undefined for a bare disk. */
  member(): string | undefined;
  /** Whether an extent may be given again, by a layer that comes later. */
  readonly rewrites: boolean;
  /** Layers that have come so far. */
  layers(): number;
  ignored(): readonly string[];
}

/** What looking ahead has found. */
interface Ahead {
  /** Bytes of the leaf. */
  readonly size: number;
  /** Of all layers, where all have been looked at. */
  readonly allocatedBytes: number;
  readonly layers: number | undefined;
}

/**
 * The disk of one source, or of several that are the VHD files of a chain, leaf first. Its `extents` end only when every source
 * has been read to its end: a second disk, a missing layer, a bad CRC or digest, a cut archive are errors of its iteration.
 * Where the sources can be jumped through, all that can be known is known now, before anything is written.
 *
 * Throws DISK_…, CHAIN_… and whatever reading throws.
 */
export async function onlyDisk(sources: readonly Source[], options: ChainOptions): Promise<ChosenDisk> {
  if (sources.length > MAX_LAYERS) throw new VdiStreamError('CHAIN_DEEP', `a chain of ${sources.length} layers`);
  const leafRank = leafRankOf(options.disk);
  const canGoBack = sources.every(({ cursor }) => cursor.seekable);

  const quiet = { ...options, manifest: 'ignore', warn: () => {}, leafRank } as const;

  let ahead: Ahead | undefined;
  if (canGoBack && (await isCheap(sources))) {
    const feed = await openFeed(sources, quiet);
    ahead = await lookAhead(feed, quiet, 'all');
    await rewind(feed, sources);
  }
  let feed = await openFeed(sources, options);
  let first = await feed.next();
  let disk: Disk | undefined;
  if (first !== undefined && ahead === undefined && !isLeaf(first.place, leafRank)) {
    const mayBe = mayBeLeaf(first.place, leafRank);
    if (canGoBack) {
      disk = await first.open();
      if (!mayBe || disk.parent !== undefined) {
        await rewind(feed, sources);
        feed = await openFeed(sources, quiet);
        ahead = await lookAhead(feed, quiet, 'to the leaf');
        await rewind(feed, sources);
        feed = await openFeed(sources, options);
        first = await feed.next();
        disk = undefined;
      }
    } else if (options.virtualSize !== undefined) {
      ahead = { size: options.virtualSize, allocatedBytes: 0, layers: undefined };
    } else if (options.staging !== undefined) {
      feed = leafFirst(first, feed, leafRank, options.staging, sources);
      first = await feed.next();
    } else if (!mayBe) {
      throw new VdiStreamError('CHAIN_ORDER', 'this layer comes before the leaf, which alone says how large the disk is', {
        member: first.name,
      });
    }
  }
  disk ??= await first?.open();
  if (first === undefined || disk === undefined) throw noDisk(sources[0]?.name ?? '', options.disk, feed.ignored());

  const layers = createLayers({ ...options, leafRank });
  const rewrites = first.place !== undefined && !feed.leafFirst();
  const { member } = first;
  return {
    disk: joined(first, disk, feed, layers, ahead),
    member: () => (member === undefined ? undefined : layers.leaf()),
    rewrites,
    layers: () => layers.count,
    ignored: () => feed.ignored(),
  };
}

/** Reads the metadata of the layers and nothing else. What can be wrong with them as a chain is found with `all`. */
async function lookAhead(
  feed: Feed,
  options: ChainOptions & { readonly leafRank: number },
  how: 'all' | 'to the leaf',
): Promise<Ahead | undefined> {
  const layers = createLayers(options);
  let leaf: { readonly rank: number; readonly size: number } | undefined;
  let allocatedBytes = 0;
  for (let arrival = await feed.next(); arrival !== undefined; arrival = await feed.next()) {
    const disk = await arrival.open();
    const rank = layers.add(arrival.name, arrival.place, disk);
    if (leaf === undefined || rank < leaf.rank) leaf = { rank, size: disk.virtualSize };
    allocatedBytes += disk.allocatedBytes;
    if (how === 'to the leaf' && rank === options.leafRank) break;
  }
  if (leaf === undefined) return undefined;
  if (how === 'all') layers.complete(leaf.size);
  return { size: leaf.size, ...(how === 'all' ? { allocatedBytes, layers: layers.count } : { allocatedBytes: 0, layers: undefined }) };
}

/** Whether the metadata of all layers can be read without much of the rest. */
async function isCheap([source, ...others]: readonly Source[]): Promise<boolean> {
  return others.length > 0 || source === undefined || compressionOf(await source.cursor.peek(MAGIC_BYTES)) === 'none';
}

/** Back to the starts of the sources, which can be jumped through. */
async function rewind(feed: Feed, sources: readonly Source[]): Promise<void> {
  await feed.close();
  for (const { cursor } of sources) await cursor.moveTo(0);
}

/** The same layers, those that came before the leaf put behind it. */
function leafFirst(first: Arrival, feed: Feed, leafRank: number, folder: string, [source]: readonly Source[]): Feed {
  async function* layers(): AsyncGenerator<Arrival, void, void> {
    const kept: Arrival[] = [];
    let next: Arrival | undefined = first;
    for (; next !== undefined && next.place?.rank !== leafRank; next = await feed.next()) {
      const { open } = next;
      const { cursor, close } = await stage(folder, next.body);
      source?.own(close);
      kept.push({ ...next, open: (warn) => open(warn, cursor) });
    }
    if (next !== undefined) yield next;
    yield* kept.sort((a, b) => (a.place?.rank ?? 0) - (b.place?.rank ?? 0));
    for (let more = await feed.next(); more !== undefined; more = await feed.next()) yield more;
  }
  const iterator = layers();
  return {
    ...feed,
    async next() {
      const { value } = await iterator.next();
      return value ?? undefined;
    },
  };
}

/** `first` and all that follow it, as one disk. */
function joined(first: Arrival, disk: Disk, feed: Feed, layers: Layers, ahead: Ahead | undefined): Disk {
  const size = ahead?.size ?? disk.virtualSize;
  const rank = layers.add(first.name, first.place, disk);
  let allocatedBytes = disk.allocatedBytes;

  async function* others(): AsyncGenerator<Layer, void, void> {
    for (let next = await feed.next(); next !== undefined; next = await feed.next()) {
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
