/** Plan of a series: which layers make each disk of an archive, and how large it is, from their metadata alone. */

import { assert, VdiStreamError } from '../errors.ts';
import type { Source } from '../source/source.ts';
import { openFeed } from './feed.ts';
import type { PlannedDisk } from './grouping.ts';
import { createLayers, type LayerFacts } from './layers.ts';
import { isCheap } from './leaf.ts';
import type { SeriesOptions } from './series.ts';
import { type Branch, branchesOf, branchPlaces, quoted, type TreeNode } from './tree.ts';

export interface SeriesPlan {
  readonly disks: readonly PlannedDisk[];
  /** Files of the archive that belong to no disk. */
  readonly ignored: readonly string[];
}

interface PlannedLayer extends TreeNode {
  readonly member: string | undefined;
  readonly facts: LayerFacts;
  readonly allocatedBytes: number;
}

/** Whether the sources can be read twice, and a plan costs little. */
export const canPlan = async (sources: readonly Source[]): Promise<boolean> =>
  sources.every(({ cursor }) => cursor.seekable) && (await isCheap(sources));

/** Reads the metadata of all layers. Throws DISK_ORDER for a layer of several disks, and what is wrong with a chain. */
export async function planSeries(sources: readonly Source[], { choice, anyParent }: SeriesOptions): Promise<SeriesPlan> {
  // Warnings are reported, and digests compared, on the second pass.
  const warn = (): void => {};
  const feed = await openFeed(sources, { choice: { ...choice, manifest: 'ignore' }, allDisks: true, measure: true, warn });
  const found: PlannedLayer[] = [];
  let next = await feed.disks.next();
  for (; !next.done; next = await feed.disks.next()) {
    const { name, member, place, open } = next.value;
    const disk = await open();
    const { type, parent, virtualSize, allocatedBytes } = disk;
    const identity = disk.identity ?? (await disk.skip()).identity;
    found.push({ name, member, place, facts: { type, parent, virtualSize, identity }, allocatedBytes });
  }
  await feed.close();
  const [raw, ...more] = found.filter(({ facts }) => facts.type === 'raw');
  const branches = branchesOf(found, found, choice.rawBase && more.length === 0 ? raw : undefined);
  refuseShared(branches);
  return { disks: branches.map((branch) => planned(branch, anyParent)), ignored: next.value.ignored };
}

/** The same for sources that can go back to their start, where they are afterwards. */
export async function planAhead(sources: readonly Source[], options: SeriesOptions): Promise<SeriesPlan> {
  const plan = await planSeries(sources, options);
  for (const { cursor } of sources) await cursor.moveTo(0);
  return plan;
}

function planned(branch: Branch<PlannedLayer>, anyParent: boolean): PlannedDisk {
  const layers = createLayers({ anyParent, warn: () => {} });
  const places = branchPlaces(branch);
  for (const [index, { name, facts }] of branch.entries()) layers.add(name, places[index], facts);
  layers.complete();
  const leaf = layers.leaf();
  assert(leaf !== undefined, 'a branch has a leaf');
  return {
    member: branch[0].member,
    members: new Set(branch.map(({ name }) => name)),
    size: branch[0].facts.virtualSize,
    leaf,
    allocatedBytes: branch.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0),
    layers: layers.count,
  };
}

function refuseShared(branches: readonly Branch<PlannedLayer>[]): void {
  const owners = new Map<PlannedLayer, string>();
  for (const branch of branches) {
    for (const layer of branch) {
      const owner = owners.get(layer);
      if (owner !== undefined) {
        const message = `this layer belongs to two disks: ${quoted(owner)} and ${quoted(branch[0].name)}`;
        throw new VdiStreamError('DISK_ORDER', message, { member: layer.name });
      }
      owners.set(layer, branch[0].name);
    }
  }
}
