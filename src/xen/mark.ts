/**
 * Mark: whose an unfinished VDI is. It is a tag, the one thing besides its name that a VDI can be given in the call that makes it
 * (DOMAIN 3), so that there is no moment in which a disk of ours is not known as such.
 *
 *   vdistream.<host uuid>.<boot id>.<pid>.<start of the process>.<number of the import>
 */

import { randomInt } from 'node:crypto';
import { isAlive, type Owner, ownerText, parseOwner, thisOwner } from '../host/owner.ts';
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

const givenUp = new Set<string>();

/** This process has done what it could: what has the mark now, or comes later, is a left-over although its owner runs. */
export const giveUp = ({ text }: Mark): void => void givenUp.add(text);

/** Whether somebody still works on what has the mark, as far as this host can tell. */
export const isAtWork = ({ text, owner }: Mark): boolean => isAlive(owner) && !givenUp.has(text);

/** Undefined for what `newMark` would not have made: any other tag. */
export function parseMark(text: string): Mark | undefined {
  const [, host = '', who = ''] = /^vdistream\.([^.]+)\.(.+)\.[1-9]\d*$/.exec(text) ?? [];
  const owner = parseOwner(who);
  return owner === undefined || !isUuid(host) ? undefined : { text, host, owner };
}
