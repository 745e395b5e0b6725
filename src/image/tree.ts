/** Tree: how the disks of an archive hang together, whatever their order: by their names where these number the layers, else by unique ID. */

import { VdiStreamError } from '../errors.ts';
import { folderOf, type Place } from '../ova/select.ts';
import { type LinkFacts, linkId } from '../vhd/links.ts';

export interface TreeNode {
  readonly name: string;
  /** What its name, or something else, says before its links do. */
  readonly place: Place | undefined;
  /** Undefined if the disk cannot be read. */
  readonly facts: LinkFacts | undefined;
}

/** Of a chain, leaf first. */
export type Branch<N> = readonly [N, ...N[]];

/**
 * The disks that `wanted` are part of: one branch for each leaf among them, with its parents, also those that are not wanted. A parent of
 * several leaves is in several branches. `rawBase` is the parent of a layer whose parent is not here. Throws DISK_DUPLICATE.
 */
export function branchesOf<N extends TreeNode>(nodes: readonly N[], wanted: readonly N[] = nodes, rawBase?: N): Branch<N>[] {
  const parents = parentsOf(nodes, rawBase);
  const branches = new Map(wanted.map((node) => [node, branchOf(node, parents)]));
  const leaves = new Set(wanted);
  for (const [, ...above] of branches.values()) for (const node of above) leaves.delete(node);
  const covered = new Set([...leaves].flatMap((leaf) => branches.get(leaf) ?? []));
  // In a loop every disk is the parent of another.
  for (const [node, branch] of branches) {
    if (covered.has(node)) continue;
    leaves.add(node);
    for (const each of branch) covered.add(each);
  }
  refuseDuplicates(covered);
  return [...branches].filter(([node]) => leaves.has(node)).map(([, branch]) => branch);
}

/** Up to the base, or to where a loop closes. */
function branchOf<N extends TreeNode>(leaf: N, parents: ReadonlyMap<N, N>): Branch<N> {
  const above = new Set<N>();
  const branch: [N, ...N[]] = [leaf];
  for (let next = parents.get(leaf); next !== undefined && next !== leaf && !above.has(next); next = parents.get(next)) {
    above.add(next);
    branch.push(next);
  }
  return branch;
}

function refuseDuplicates(nodes: Iterable<TreeNode>): void {
  const names = new Set<string>();
  for (const { name } of nodes) {
    if (names.has(name)) throw new VdiStreamError('DISK_DUPLICATE', `two members are named "${name}"`, { member: name });
    names.add(name);
  }
}

function parentsOf<N extends TreeNode>(nodes: readonly N[], rawBase: N | undefined): Map<N, N> {
  const byId = new Map<string, N[]>();
  for (const node of nodes) {
    const id = node.facts && linkId(node.facts);
    if (id !== undefined) byId.set(id, [...(byId.get(id) ?? []), node]);
  }
  const parents = new Map<N, N>();
  for (const node of nodes) {
    const parent = deeper(node, nodes) ?? parentById(node, byId) ?? (node.facts?.parent && rawBase);
    if (parent !== undefined) parents.set(node, parent);
  }
  return parents;
}

/** The next layer of the same chain, past those that are missing. */
function deeper<N extends TreeNode>({ place }: N, nodes: readonly N[]): N | undefined {
  if (place === undefined) return undefined;
  let next: N | undefined;
  for (const node of nodes) {
    if (node.place?.chain !== place.chain || node.place.rank <= place.rank) continue;
    if (next?.place === undefined || node.place.rank < next.place.rank) next = node;
  }
  return next;
}

/** If several have the ID, the one in the same folder; undefined if there are still several. */
function parentById<N extends TreeNode>(child: N, byId: ReadonlyMap<string, readonly N[]>): N | undefined {
  const id = child.facts?.parent?.uniqueId;
  if (id === undefined) return undefined;
  const found = (byId.get(id) ?? []).filter((node) => node !== child);
  const near = found.filter(({ name }) => folderOf(name) === folderOf(child.name));
  const [parent, ...others] = near.length > 0 ? near : found;
  return others.length === 0 ? parent : undefined;
}

/** The places of a branch: those that its disks have if they have all of them, else by link. */
export function branchPlaces(branch: Branch<TreeNode>): readonly (Place | undefined)[] {
  const [leaf, ...parents] = branch;
  const named = branch.map(({ place }) => place);
  if (parents.length === 0 || named.every((place) => place !== undefined && place.chain === named[0]?.chain)) return named;
  return branch.map((_, rank) => ({ chain: leaf.name, rank, by: 'link' }));
}

const MAX_SHOWN = 8;

/** For messages: which disk is over which. */
export function shownTree(branches: readonly Branch<TreeNode>[]): string {
  const shown = branches.slice(0, MAX_SHOWN).map((branch) => {
    const layers = branch.slice(0, MAX_SHOWN).map(({ name }) => quoted(name));
    return `${layers.join(' over ')}${branch.length > MAX_SHOWN ? ` over ${branch.length - MAX_SHOWN} more` : ''}`;
  });
  const rest = branches.length > MAX_SHOWN ? [`${branches.length - MAX_SHOWN} more`] : [];
  const items = [...shown, ...rest];
  return items.length === 1 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

const MAX_NAME = 100;

/** Names of members hold no control characters any more, but may be long. */
export const quoted = (name: string): string => `"${name.length > MAX_NAME ? `${name.slice(0, MAX_NAME)}...` : name}"`;
