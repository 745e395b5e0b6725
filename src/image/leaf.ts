/**
 * The leaf of a chain has the size of the disk, which is needed before the first byte is written. Where it does not come first,
 * a source that can go back is looked through for it; for others the caller tells the size, or the layers before the leaf
 * are kept in a folder.
 */

import { compressionOf, MAGIC_BYTES } from '../codec/compression.ts';
import { VdiStreamError } from '../errors.ts';
import type { Source } from '../source/source.ts';
import { stage } from '../source/staging.ts';
import type { OnWarning } from '../warnings.ts';
import { type Arrival, type Feed, type FeedOptions, nextOf, openFeed } from './feed.ts';
import { createLayers, isLeaf, leafRankOf, mayBeLeaf } from './layers.ts';

export interface LeafOptions extends FeedOptions {
  /** Bytes: what the leaf will turn out to have. */
  readonly virtualSize?: number | undefined;
  /** A folder for layers that come before the leaf. */
  readonly staging?: string | undefined;
  /** Parents are taken whatever their unique id. */
  readonly anyParent: boolean;
  readonly warn: OnWarning;
}

/** What is known of the leaf before it comes. */
export interface Ahead {
  /** Bytes of the disk. */
  readonly size: number;
  /** Of all layers, where all have been looked at. */
  readonly allocatedBytes: number;
  readonly layers: number | undefined;
}

export interface Found {
  readonly feed: Feed;
  /** The first that the feed has given: the leaf, unless `ahead` says what that will be. */
  readonly first: Arrival | undefined;
  readonly ahead: Ahead | undefined;
}

/** Opens the sources. Throws CHAIN_ORDER where nothing tells the size in time, and whatever looking ahead finds. */
export async function findLeaf(sources: readonly Source[], options: LeafOptions): Promise<Found> {
  const leafRank = leafRankOf(options.disk);
  const canGoBack = sources.every(({ cursor }) => cursor.seekable);
  const open = async (ahead?: Ahead): Promise<Found> => {
    const feed = await openFeed(sources, options);
    return { feed, first: await nextOf(feed.arrivals), ahead };
  };

  if (canGoBack && (await isCheap(sources))) return open(await lookAhead(sources, options, 'all'));
  const found = await open();
  const { feed, first } = found;
  if (first === undefined || isLeaf(first.place, leafRank)) return found;
  const mayBe = mayBeLeaf(first.place, leafRank);
  if (canGoBack) {
    const { parent, virtualSize } = await first.open();
    // A whole disk is taken for the only one, unless the caller knows of another size.
    if (mayBe && parent === undefined && (options.virtualSize ?? virtualSize) === virtualSize) return found;
    await rewind(feed, sources);
    return open(await lookAhead(sources, options, 'to the leaf'));
  }
  if (options.virtualSize !== undefined) {
    return { ...found, ahead: { size: options.virtualSize, allocatedBytes: 0, layers: undefined } };
  }
  if (options.staging !== undefined) {
    const sorted = leafFirst(first, feed, leafRank, options.staging, sources);
    return { feed: sorted, first: await nextOf(sorted.arrivals), ahead: undefined };
  }
  if (mayBe) return found;
  throw new VdiStreamError('CHAIN_ORDER', 'this layer comes before the leaf, which alone says how large the disk is', {
    member: first.name,
  });
}

/** Whether the metadata of all layers can be read without much of the rest. */
async function isCheap([source, ...others]: readonly Source[]): Promise<boolean> {
  return others.length > 0 || source === undefined || compressionOf(await source.cursor.peek(MAGIC_BYTES)) === 'none';
}

/**
 * Reads the metadata of the layers and nothing else, and goes back to the start. What can be wrong with them as a chain is found
 * with `all`; otherwise it stops at the leaf, if one comes.
 */
async function lookAhead(sources: readonly Source[], options: LeafOptions, how: 'all' | 'to the leaf'): Promise<Ahead | undefined> {
  // What is odd is told when it is read in earnest.
  const quiet: LeafOptions = { ...options, manifest: 'ignore', warn: () => {} };
  const layers = createLayers(quiet);
  const feed = await openFeed(sources, quiet);
  let allocatedBytes = 0;
  for await (const { open, name, place } of feed.arrivals) {
    const disk = await open();
    const rank = layers.add(name, place, disk);
    allocatedBytes += disk.allocatedBytes;
    if (how === 'to the leaf' && rank === leafRankOf(options.disk)) break;
  }
  await rewind(feed, sources);
  const leaf = layers.leaf();
  if (leaf === undefined) return undefined;
  if (how === 'to the leaf') return { size: leaf.virtualSize, allocatedBytes: 0, layers: undefined };
  layers.complete();
  return { size: leaf.virtualSize, allocatedBytes, layers: layers.count };
}

async function rewind(feed: Feed, sources: readonly Source[]): Promise<void> {
  await feed.close();
  for (const { cursor } of sources) await cursor.moveTo(0);
}

/** The same layers, those that came before the leaf put behind it. */
function leafFirst(first: Arrival, feed: Feed, leafRank: number, folder: string, [source]: readonly Source[]): Feed {
  async function* layers(): AsyncGenerator<Arrival, void, void> {
    const kept: Arrival[] = [];
    let next: Arrival | undefined = first;
    for (; next !== undefined && next.place?.rank !== leafRank; next = await nextOf(feed.arrivals)) {
      const { open } = next;
      const { cursor, close } = await stage(folder, next.body);
      source?.own(close);
      kept.push({ ...next, open: () => open(cursor) });
    }
    if (next !== undefined) yield next;
    yield* kept.sort((a, b) => (a.place?.rank ?? 0) - (b.place?.rank ?? 0));
    yield* feed.arrivals;
  }
  return { ...feed, arrivals: layers() };
}
