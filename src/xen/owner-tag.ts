/**
 * Owner tag: whose an unfinished VDI is. A tag can be set in the very call that makes the VDI, so that there is no moment in which a disk
 * of ours is not known as such.
 *
 *   vdistream.<host uuid>.<boot id>.<pid>.<start of the process>.<number of the import>
 */

import { randomInt } from 'node:crypto';
import { isAlive, type Owner, ownerText, parseOwner, thisOwner } from '../host/owner.ts';
import { isUuid } from './uuid.ts';

const PREFIX = 'vdistream';

export interface OwnerTag {
  readonly text: string;
  /** uuid of the host that the owner runs on. */
  readonly host: string;
  readonly owner: Owner;
}

/** The number is random: threads, and copies of this library, know nothing of each other's. */
const MAX_NUMBER = 2 ** 48 - 1;

/** One for each import, so that its disk can be found by it even where its uuid was never learnt. */
export function newOwnerTag(host: string): OwnerTag {
  const owner = thisOwner();
  return { text: [PREFIX, host, ownerText(owner), randomInt(1, MAX_NUMBER)].join('.'), host, owner };
}

const abandoned = new Set<string>();

/** This process has done what it could: a VDI that has the tag now, or appears later, is a left-over although its owner runs. */
export const abandon = ({ text }: OwnerTag): void => void abandoned.add(text);

/** Whether the owner still works on its VDI, as far as this host knows. */
export const isAtWork = ({ text, owner }: OwnerTag): boolean => isAlive(owner) && !abandoned.has(text);

/** Undefined for any tag that `newOwnerTag` would not have made. */
export function parseOwnerTag(text: string): OwnerTag | undefined {
  const [, host = '', process = ''] = /^vdistream\.([^.]+)\.(.+)\.[1-9]\d*$/.exec(text) ?? [];
  const owner = parseOwner(process);
  return owner === undefined || !isUuid(host) ? undefined : { text, host, owner };
}
