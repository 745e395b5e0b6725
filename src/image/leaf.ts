/**
 * The leaf of a chain has the size of the disk, which is needed before the first byte is written. Where it does not come first,
 * a source that can go back is looked through for it; for others the caller gives the size, or the layers before the leaf
 * are kept in a folder.
 */

import { compressionOf, MAGIC_BYTES } from '../codec/compression.ts';
import type { Source } from '../source/source.ts';
import { stage } from '../source/staging.ts';
import { type Feed, openFeed } from './feed.ts';
import type { ImageOptions } from './image.ts';
import { createLayers, isLeaf, leafRankOf, mayBeLeaf } from './layers.ts';
import type { StoredDisk } from './stored.ts';

export interface LeafOptions {
  /** How each source is read. */
  readonly image: ImageOptions;
  /** A folder for layers that a stream brings before the leaf. */
  readonly staging?: string | undefined;
  /** Parents are taken whatever their unique id. */
  readonly anyParent: boolean;
}

/** What is known of the leaf before it comes. */
interface Ahead {
  /** Bytes of the disk. */
  readonly size: number;
  /** Of all layers, where all have been looked at. */
  readonly allocatedBytes: number;
  readonly layers: number | undefined;
}

export interface Found {
  readonly disks: Feed['disks'];
  /** The first of the disks, or what they returned where there is none. It is the leaf, unless `ahead` says what that will be. */
  readonly first: IteratorResult<StoredDisk, readonly string[]>;
  readonly ahead: Ahead | undefined;
  /** Nothing gives the size of the disk in time. */
  readonly isLate: boolean;
}

/** Opens the sources. Throws whatever looking ahead finds. */
export async function findLeaf(sources: readonly Source[], options: LeafOptions): Promise<Found> {
  const { image, staging } = options;
  const { choice, virtualSize } = image;
  const leafRank = leafRankOf(choice.disk);
  const canGoBack = sources.every(({ cursor }) => cursor.seekable);
  const open = async (ahead?: Ahead): Promise<Found> => {
    const { disks } = await openFeed(sources, image);
    return { disks, first: await disks.next(), ahead, isLate: false };
  };

  if (canGoBack && (await isCheap(sources))) return open(await lookAhead(sources, options, 'all'));
  const feed = await openFeed(sources, image);
  const { disks } = feed;
  const first = await disks.next();
  const found: Found = { disks, first, ahead: undefined, isLate: false };
  if (first.done || isLeaf(first.value.place, leafRank)) return found;
  const mayBe = mayBeLeaf(first.value.place, leafRank);
  if (canGoBack) {
    const disk = await first.value.open();
    // A whole disk is taken for the only one, unless the caller knows of another size.
    if (mayBe && disk.parent === undefined && (virtualSize ?? disk.virtualSize) === disk.virtualSize) return found;
    await rewind(feed, sources);
    return open(await lookAhead(sources, options, 'to the leaf'));
  }
  if (virtualSize !== undefined) return { ...found, ahead: { size: virtualSize, allocatedBytes: 0, layers: undefined } };
  if (staging !== undefined) {
    const sorted = leafFirst(first.value, disks, leafRank, staging, sources);
    return { ...found, disks: sorted, first: await sorted.next() };
  }
  return { ...found, isLate: !mayBe };
}

/** Whether the metadata of all layers can be read without much of the rest. */
async function isCheap([source, ...others]: readonly Source[]): Promise<boolean> {
  return others.length > 0 || source === undefined || compressionOf(await source.cursor.peek(MAGIC_BYTES)) === 'none';
}

/**
 * Reads the metadata of the layers and nothing else, and goes back to the start. What can be wrong with them as a chain is found
 * with `all`; otherwise it stops at the leaf, if one comes.
 */
async function lookAhead(
  sources: readonly Source[],
  { image: { choice, virtualSize, fault }, anyParent }: LeafOptions,
  how: 'all' | 'to the leaf',
): Promise<Ahead | undefined> {
  // What is odd is reported when it is read in earnest.
  const warn = (): void => {};
  const layers = createLayers({ disk: choice.disk, anyParent, warn });
  const feed = await openFeed(sources, { choice: { ...choice, manifest: 'ignore' }, virtualSize, fault, warn });
  let allocatedBytes = 0;
  for await (const { open, name, place } of feed.disks) {
    const disk = await open();
    const rank = layers.add(name, place, disk);
    allocatedBytes += disk.allocatedBytes;
    if (how === 'to the leaf' && rank === leafRankOf(choice.disk)) break;
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

/** The same layers, those that came before the leaf put after it. */
async function* leafFirst(
  first: StoredDisk,
  disks: Feed['disks'],
  leafRank: number,
  folder: string,
  [source]: readonly Source[],
): Feed['disks'] {
  const kept: StoredDisk[] = [];
  let next: IteratorResult<StoredDisk, readonly string[]> = { done: false, value: first };
  for (; !next.done && next.value.place?.rank !== leafRank; next = await disks.next()) {
    const { open, place, body } = next.value;
    const { cursor, close } = await stage(folder, body);
    source?.own(close);
    kept.push({ ...next.value, place, open: () => open(cursor) });
  }
  if (!next.done) yield next.value;
  yield* kept.sort((a, b) => (a.place?.rank ?? 0) - (b.place?.rank ?? 0));
  return next.done ? next.value : yield* disks;
}
