/**
 * The leaf of a chain has the size of the disk, which is needed before the first byte is written. If the leaf does not come first, a seekable
 * source is searched for it; for a stream, the caller passes the size, or the layers before the leaf are kept in a staging folder. Searching
 * a compressed file means to decompress it up to the leaf, so there the size may be passed or assumed, too.
 */

import type { Disk } from '../disk/disk.ts';
import type { Source } from '../source/source.ts';
import { stage } from '../source/staging.ts';
import { outerCompression } from './content.ts';
import type { Contents } from './contents.ts';
import { type Feed, openFeed } from './feed.ts';
import type { ImageOptions } from './image.ts';
import { createLayers, isLeaf, type Leaf, leafRankOf, mayBeLeaf } from './layers.ts';
import type { StoredDisk } from './stored.ts';

export interface LeafOptions {
  /** How each source is read. */
  readonly image: ImageOptions;
  /** A folder for layers that precede the leaf in a stream. */
  readonly staging?: string | undefined;
  /** Accept parents with any unique ID. */
  readonly anyParent: boolean;
  /** If the size of the leaf comes late, assume that it is that of the first layer, rather than read everything up to the leaf twice. */
  readonly assumeSize?: boolean | undefined;
}

/** What is known about the leaf in advance. */
export interface Ahead {
  /** Bytes of the disk. */
  readonly size: number;
  /** Whether `size` is an assumption: the leaf has not been seen. */
  readonly isAssumed?: boolean;
  /** Undefined if only its size is known. */
  readonly leaf: Leaf | undefined;
  /** Of all layers, if all have been read; otherwise 0. */
  readonly allocatedBytes: number;
  readonly layers: number | undefined;
}

export interface Found {
  readonly disks: Feed['disks'];
  /** The first of the disks, or, if there is none, the end of the iteration. It is the leaf unless `ahead` is set. */
  readonly first: IteratorResult<StoredDisk, Contents>;
  readonly ahead: Ahead | undefined;
  /** The size of the disk is not known in time. */
  readonly isLate: boolean;
}

/** Opens the sources and finds the leaf. Throws what looking ahead throws. */
export async function findLeaf(sources: readonly Source[], options: LeafOptions): Promise<Found> {
  const { image, staging, assumeSize = false } = options;
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
  if (first.done) return found;
  const givenSize = virtualSize === undefined ? undefined : onlySize(virtualSize);
  if (isLeaf(first.value.place, leafRank))
    return { ...found, ahead: (await isOfOtherSize(first.value, virtualSize)) ? givenSize : undefined };
  const mayBe = mayBeLeaf(first.value.place, leafRank);
  if (canGoBack && (mayBe || givenSize === undefined)) {
    const disk = await first.value.open();
    // A disk without a parent is assumed to be the only one, unless the caller passed a different size.
    if (mayBe && disk.parent === undefined && (virtualSize ?? disk.virtualSize) === disk.virtualSize) return found;
    if (assumeSize && !mayBe) return { ...found, ahead: assumed(disk) };
    await rewind(feed, sources);
    return open(await lookAhead(sources, options, 'to the leaf'));
  }
  if (givenSize !== undefined) return { ...found, ahead: givenSize };
  if (staging !== undefined) {
    const sorted = leafFirst(first.value, disks, leafRank, staging, sources);
    return { ...found, disks: sorted, first: await sorted.next() };
  }
  if (assumeSize && !mayBe) return { ...found, ahead: assumed(await first.value.open()) };
  return { ...found, isLate: !mayBe };
}

const assumed = ({ virtualSize }: Disk): Ahead => ({ ...onlySize(virtualSize), isAssumed: true });

const onlySize = (size: number): Ahead => ({ size, leaf: undefined, allocatedBytes: 0, layers: undefined });

/** Whether a layer over this first member of a stream may follow, as the given size says. */
async function isOfOtherSize({ place, leafFirst, open }: StoredDisk, size: number | undefined): Promise<boolean> {
  if (size === undefined || place !== undefined || leafFirst) return false;
  const { type, virtualSize } = await open();
  return type !== 'raw' && virtualSize !== size;
}

/** Whether reading the metadata of all layers is cheap: nothing has to be decompressed. */
export async function isCheap([source, ...others]: readonly Source[]): Promise<boolean> {
  return others.length > 0 || source === undefined || (await outerCompression(source.cursor)) === 'none';
}

/**
 * Reads only the metadata of the layers, and returns to the start. With `all` it also checks the chain; otherwise it stops at the leaf.
 */
async function lookAhead(
  sources: readonly Source[],
  { image: { choice, virtualSize, single, fault, stages }, anyParent }: LeafOptions,
  how: 'all' | 'to the leaf',
): Promise<Ahead | undefined> {
  // Warnings are reported on the second pass.
  const warn = (): void => {};
  const layers = createLayers({ disk: choice.disk, anyParent, warn });
  const feed = await openFeed(sources, { choice: { ...choice, manifest: 'ignore' }, virtualSize, single, fault, warn, stages });
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
  if (how === 'to the leaf') return { size: leaf.virtualSize, leaf, allocatedBytes: 0, layers: undefined };
  layers.complete();
  return { size: leaf.virtualSize, leaf, allocatedBytes, layers: layers.count };
}

async function rewind(feed: Feed, sources: readonly Source[]): Promise<void> {
  await feed.close();
  for (const { cursor } of sources) await cursor.moveTo(0);
}

/** The same layers, with those that precede the leaf moved after it. */
export async function* leafFirst(
  first: StoredDisk,
  disks: Feed['disks'],
  leafRank: number,
  folder: string,
  [source]: readonly Source[],
): Feed['disks'] {
  const staged: StoredDisk[] = [];
  let next: IteratorResult<StoredDisk, Contents> = { done: false, value: first };
  for (; !next.done && next.value.place?.rank !== leafRank; next = await disks.next()) {
    const { open, place, body } = next.value;
    const { cursor, close } = await stage(folder, body);
    source?.own(close);
    staged.push({ ...next.value, place, open: () => open(cursor) });
  }
  if (!next.done) yield next.value;
  yield* staged.sort((a, b) => (a.place?.rank ?? 0) - (b.place?.rank ?? 0));
  return next.done ? next.value : yield* disks;
}
