/**
 * Owner tag: the import that an unfinished VDI belongs to. The call that creates the VDI sets it, so that the VDI is never without it.
 *
 *   vdistream.<host uuid>.<owner>.<token>
 *   vdistream.<host uuid>.<owner>.<number of the import>    the older form, with the older form of an owner
 *   vdistream.remote.<token>                                an import from a machine that is no Xen host
 *
 * Whoever may tag a VDI can write or copy such a tag, so it proves nothing: the record of the token does (record.ts). An import from another
 * machine has no record here, so nothing in Dom0 removes its VDI.
 */

import { randomBytes } from 'node:crypto';
import { isAlive, type Owner, ownerText, parseOwner, thisOwner } from '../host/owner.ts';
import { isUuid } from './uuid.ts';

const PREFIX = 'vdistream';

export interface OwnerTag {
  readonly text: string;
  /** uuid of the host that the owner runs on. */
  readonly host: string;
  readonly owner: Owner;
  /** Of the import's record; absent from the older form. */
  readonly token?: string;
}

/** Unique per import, so that its VDI can be found even if the uuid was never received. */
export function newOwnerTag(host: string): Required<OwnerTag> {
  const owner = thisOwner();
  const token = randomBytes(16).toString('hex');
  return { text: [PREFIX, host, ownerText(owner), token].join('.'), host, owner, token };
}

/** The tag of an import whose owner is a process on no Xen host. Unique, as that of `newOwnerTag`. */
export const newRemoteTag = (): string => `${REMOTE}${randomBytes(16).toString('hex')}`;

const REMOTE = `${PREFIX}.remote.`;

/** Whether a VDI with this tag is unfinished, wherever its import runs. */
export const isOwnerTag = (text: string): boolean => parseOwnerTag(text) !== undefined || isRemoteTag(text);

const isRemoteTag = (text: string): boolean => text.startsWith(REMOTE) && isToken(text.slice(REMOTE.length));

const abandoned = new Set<string>();

/** This process has given up: a VDI with this tag is a left-over, even if it appears later, although its owner still runs. */
export const abandon = ({ text }: OwnerTag): void => void abandoned.add(text);

/** Whether the owner is still working on its VDI; only for an owner on this host. */
export const isAtWork = ({ text, owner }: OwnerTag): boolean => isAlive(owner) && !abandoned.has(text);

/** Undefined for any tag that no version of `newOwnerTag` would have made, so for that of a remote import too. */
export function parseOwnerTag(text: string): OwnerTag | undefined {
  const [, host = '', process = '', last = ''] = /^vdistream\.([^.]+)\.(.+)\.([0-9a-f]+)$/.exec(text) ?? [];
  const owner = parseOwner(process);
  if (owner === undefined || !isUuid(host)) return undefined;
  if (owner.namespace === undefined) return /^[1-9]\d*$/.test(last) ? { text, host, owner } : undefined;
  return isToken(last) ? { text, host, owner, token: last } : undefined;
}

export const isToken = (text: string): boolean => /^[0-9a-f]{32}$/.test(text);
