/** Survey: which members of a seekable archive are disks, and how they hang together, from their headers. */

import { VdiStreamError } from '../errors.ts';
import {
  checkReadable,
  isDiskName,
  isPackageFile,
  isRawName,
  isRequested,
  isVhdName,
  type NamedDisks,
  type Place,
  placeOf,
  plainName,
} from '../ova/select.ts';
import type { Member } from '../ova/tar.ts';
import type { ImageChoice } from './choice.ts';
import type { Contents } from './contents.ts';
import { beginsAsVhd, memberLinks } from './peek.ts';
import { type Branch, branchesOf, branchPlaces, shownTree, type TreeNode } from './tree.ts';

/** A limit on what is kept about a hostile archive. */
const MAX_DISKS = 1024;

interface SurveyOptions {
  readonly choice: ImageChoice;
  /** Every disk is wanted. */
  readonly allDisks: boolean;
  /** The disks that the descriptor lists, if there is one. */
  readonly named: NamedDisks | undefined;
  readonly contents: Contents;
}

interface SurveyedNode extends TreeNode {
  readonly member: Member;
}

export interface SurveyedDisk {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Byte offset of the body in the archive. */
  readonly offset: number;
  readonly place: Place | undefined;
}

interface Survey {
  /** Each chain leaf first. */
  readonly disks: readonly SurveyedDisk[];
  /** Throws DISK_AMBIGUOUS, with the tree, if there is more than one disk. */
  refuseSeveral(): void;
}

/** Throws DISK_AMBIGUOUS, DISK_DUPLICATE, TAR_SPARSE, TAR_NOT_A_FILE. */
export async function surveyDisks(members: AsyncIterable<Member>, options: SurveyOptions): Promise<Survey> {
  const { choice, contents } = options;
  const { nodes, wanted, rawBase } =
    choice.raw && choice.disk === undefined ? await rawFile(members, options) : await vhds(members, options);
  const branches = branchesOf(nodes, wanted, rawBase);
  const disks = new Map<SurveyedNode, SurveyedDisk>();
  for (const branch of branches) {
    const places = branchPlaces(branch);
    for (const [index, node] of branch.entries()) {
      const { name, member } = node;
      checkReadable(member);
      if (!disks.has(node)) disks.set(node, { name, size: member.size, offset: member.offset, place: places[index] });
    }
  }
  for (const node of nodes) if (!disks.has(node) && node.member.type === 'file') contents.ignore(node.name, node.member.offset);
  return { disks: [...disks.values()], refuseSeveral: () => refuseSeveral(branches, options) };
}

interface Candidates {
  /** Every member that may be a disk, or a parent of one. */
  readonly nodes: readonly SurveyedNode[];
  readonly wanted: readonly SurveyedNode[];
  /** The parent of a layer whose parent is not here. */
  readonly rawBase?: SurveyedNode | undefined;
}

async function vhds(
  members: AsyncIterable<Member>,
  { choice: { disk, inflate, rawBase }, allDisks, named, contents }: SurveyOptions,
): Promise<Candidates> {
  const nodes: SurveyedNode[] = [];
  for await (const member of members) {
    const name = plainName(member.name).replace(/\/$/, '');
    const isNamed = isVhdName(name) || isRawName(name) || named?.has(name) || (disk !== undefined && isRequested(name, disk));
    const isOther = allDisks && (isDiskName(name) || (named === undefined && (await beginsAsVhd(member))));
    if (isNamed || isOther) {
      limit(nodes, name);
      const place = placeOf(name);
      nodes.push({ name, place, member, facts: member.type === 'file' ? await memberLinks(name, member.body, inflate) : undefined });
    } else if (member.type === 'file') contents.ignore(name, member.offset, await member.body.peek(512));
  }
  const hasVhd = nodes.some(({ name, member }) => isVhdName(name) && member.type === 'file');
  const wanted = nodes.filter(({ name }) => {
    if (disk !== undefined) return isRequested(name, disk);
    if (named !== undefined) return named.has(name);
    return allDisks || isVhdName(name) || !hasVhd;
  });
  const [raw, ...others] = nodes.filter(({ facts }) => facts?.type === 'raw');
  return { nodes, wanted, rawBase: rawBase && others.length === 0 ? raw : undefined };
}

/** The one that is named so, else the only file. */
async function rawFile(members: AsyncIterable<Member>, { allDisks, named, contents }: SurveyOptions): Promise<Candidates> {
  const isDisk = allDisks ? isDiskName : isRawName;
  const nodes: SurveyedNode[] = [];
  let only: SurveyedNode | undefined;
  let files = 0;
  for await (const member of members) {
    const name = plainName(member.name);
    const node: SurveyedNode = { name, place: undefined, member, facts: undefined };
    if (named === undefined ? isDisk(name.replace(/\/$/, '')) : named.has(name)) {
      limit(nodes, name);
      nodes.push(node);
    } else if (member.type === 'file') {
      if (isPackageFile(name)) {
        contents.ignore(name, member.offset);
        continue;
      }
      if (files === 0) only = node;
      else contents.ignore(name, member.offset);
      files++;
    }
  }
  if (nodes.length === 0 && named === undefined && only !== undefined && files === 1) return { nodes: [only], wanted: [only] };
  if (only !== undefined) contents.ignore(only.name, only.member.offset);
  if (nodes.length === 0 && files > 0) throw contents.undecided();
  return { nodes, wanted: nodes };
}

function limit(nodes: readonly SurveyedNode[], name: string): void {
  if (nodes.length < MAX_DISKS) return;
  throw new VdiStreamError('DISK_AMBIGUOUS', `the archive holds more than ${MAX_DISKS} disks`, { member: name });
}

function refuseSeveral(branches: readonly Branch<SurveyedNode>[], { choice, named, contents }: SurveyOptions): void {
  const [first, second] = branches;
  if (second !== undefined) {
    throw new VdiStreamError('DISK_AMBIGUOUS', `the archive holds ${shownTree(branches)}, and none was chosen`, { member: second[0].name });
  }
  if (first !== undefined && choice.disk === undefined && named === undefined && !choice.raw) contents.refuseOthers(first[0].name);
}
