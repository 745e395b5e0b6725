/** Series: the disks of an archive one after another, in one pass. Each ends where the next one begins. */

import { assert, VdiStreamError } from '../errors.ts';
import type { Source } from '../source/source.ts';
import type { OnWarning } from '../warnings.ts';
import { type ChosenDisk, chosenDisk } from './chain.ts';
import type { ImageChoice } from './choice.ts';
import { type Contents, createContents } from './contents.ts';
import { type Feed, openFeed } from './feed.ts';
import { type PlannedDisk, plannedGrouping, streamGrouping } from './grouping.ts';
import { createLayers, type Layers, mayBeLeaf } from './layers.ts';
import { leafFirst } from './leaf.ts';
import type { StoredDisk } from './stored.ts';

export interface SeriesOptions {
  readonly choice: Omit<ImageChoice, 'disk'>;
  /** A folder for layers that precede their leaf in a stream. */
  readonly staging?: string | undefined;
  /** Accept parents with any unique ID. */
  readonly anyParent: boolean;
  readonly warn: OnWarning;
}

export interface Series {
  /** The extents of each have to be read to their end before the next is requested. Returns what else is in the archive. */
  readonly disks: AsyncGenerator<ChosenDisk, Contents, void>;
}

/**
 * Opens the sources at their start. Without a plan, resolves with the late layer if the size of the first disk is not known in time. Throws
 * DISK_…, CHAIN_… and what reading throws; DISK_SIZE_UNKNOWN if the size of the first disk is at its end.
 */
export async function openSeries(
  sources: readonly Source[],
  { choice, staging, anyParent, warn }: SeriesOptions,
  plan?: readonly PlannedDisk[],
): Promise<Series | { readonly lateAfter: string }> {
  const virtualSize = plan?.length === 1 ? plan[0]?.size : undefined;
  const { disks: stored } = await openFeed(sources, { choice, allDisks: true, virtualSize, warn });
  const first = await stored.next();
  if (first.done) throw first.value.noDisk(sources[0]?.name ?? '', undefined);
  const canGoBack = sources.every(({ cursor }) => cursor.seekable);
  if (plan === undefined) {
    if (mayBeLeaf(first.value.place, 0)) await first.value.open();
    else if (staging === undefined || canGoBack) return { lateAfter: first.value.name };
  }
  const grouping = plan === undefined ? streamGrouping() : plannedGrouping(plan);
  const sorted = staging === undefined ? undefined : (from: StoredDisk, rest: Feed['disks']) => leafFirst(from, rest, 0, staging, sources);

  async function* disks(): AsyncGenerator<ChosenDisk, Contents, void> {
    let at: IteratorResult<StoredDisk, Contents> = first;
    while (!at.done) {
      const start: StoredDisk = at.value;
      const layers = createLayers({ anyParent, warn });
      let isAtEnd = false;
      async function* others(): Feed['disks'] {
        at = await stored.next();
        for (; !at.done && (await grouping.continues(at.value)); at = await stored.next()) yield at.value;
        isAtEnd = true;
        // What else is in the archive is known only at its end.
        return createContents();
      }
      const ahead = grouping.begin(start, layers);
      yield await diskFrom(start, others(), { ahead, layers, sorted });
      assert(isAtEnd, 'a disk of a series is read to its end');
      grouping.end();
    }
    return at.value;
  }

  return { disks: disks() };
}

interface GroupOptions {
  readonly ahead: PlannedDisk | undefined;
  readonly layers: Layers;
  /** With a staging folder: moves the layers that precede the leaf after it. */
  readonly sorted: ((first: StoredDisk, rest: Feed['disks']) => Feed['disks']) | undefined;
}

async function diskFrom(start: StoredDisk, disks: Feed['disks'], { ahead, layers, sorted }: GroupOptions): Promise<ChosenDisk> {
  if (ahead !== undefined || mayBeLeaf(start.place, 0)) return chosenDisk(start, { disks, ahead }, layers);
  const leafFirst = sorted?.(start, disks);
  const leaf = await leafFirst?.next();
  if (leafFirst === undefined || leaf?.done !== false) {
    throw new VdiStreamError('DISK_ORDER', 'this layer precedes its leaf, so the size of the disk is not known yet', {
      member: start.name,
    });
  }
  return chosenDisk(leaf.value, { disks: leafFirst, ahead }, layers);
}
