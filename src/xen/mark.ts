/**
 * Mark: whose an unfinished VDI is. It is a tag, the one thing besides its name that a VDI can be given in the call that makes it
 * (DOMAIN 3), so that there is no moment in which a disk of ours is not known as such.
 *
 *   vdistream.<host uuid>.<boot id>.<pid>.<start of the process>.<number of the import>
 */

import { randomInt } from 'node:crypto';
import { type Owner, ownerText, parseOwner, thisOwner } from '../io/owner.ts';
import { isUuid } from './uuid.ts';

const PREFIX = 'vdistream';

export interface Mark {
  readonly text: string;
  /** uuid of the host that the owner runs on. */
  readonly host: string;
  readonly owner: Owner;
}

/** The number is drawn: threads, and copies of this library, know nothing of each other's. */
const MOST = 2 ** 48 - 1;

/** One for each import, so that its disk can be found by it even where nobody was told its uuid. */
export function newMark(host: string): Mark {
  const owner = thisOwner();
  return { text: [PREFIX, host, ownerText(owner), randomInt(1, MOST)].join('.'), host, owner };
}

/** Undefined for what `newMark` would not have made: any other tag. */
export function parseMark(text: string): Mark | undefined {
  const [, host = '', who = ''] = /^vdistream\.([^.]+)\.(.+)\.[1-9]\d*$/.exec(text) ?? [];
  const owner = parseOwner(who);
  return owner === undefined || !isUuid(host) ? undefined : { text, host, owner };
}
