/**
 * Owner tag: the import that an unfinished VDI belongs to. The call that creates the VDI sets it, so that the VDI is never without it.
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

/** The number is random: threads and copies of this library in one process do not coordinate theirs. */
const MAX_NUMBER = 2 ** 48 - 1;

/** Unique per import, so that its VDI can be found even if the uuid was never received. */
export function newOwnerTag(host: string): OwnerTag {
  const owner = thisOwner();
  return { text: [PREFIX, host, ownerText(owner), randomInt(1, MAX_NUMBER)].join('.'), host, owner };
}

const abandoned = new Set<string>();

/** This process has given up: a VDI with this tag is a left-over, even if it appears later, although its owner still runs. */
export const abandon = ({ text }: OwnerTag): void => void abandoned.add(text);

/** Whether the owner is still working on its VDI; only for an owner on this host. */
export const isAtWork = ({ text, owner }: OwnerTag): boolean => isAlive(owner) && !abandoned.has(text);

/** Undefined for any tag that `newOwnerTag` would not have made. */
export function parseOwnerTag(text: string): OwnerTag | undefined {
  const [, host = '', process = ''] = /^vdistream\.([^.]+)\.(.+)\.[1-9]\d*$/.exec(text) ?? [];
  const owner = parseOwner(process);
  return owner === undefined || !isUuid(host) ? undefined : { text, host, owner };
}
