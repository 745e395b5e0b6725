/** What an archive is found to hold. */

import { type Cursor, streamCursor } from '../../src/cursor.ts';
import { type Member, readTar } from '../../src/ova/tar.ts';
import type { Warning } from '../../src/warnings.ts';
import { noise, reusing } from './chunks.ts';
import { tarMember } from './tar.ts';

interface Found {
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly offset: number;
  readonly body: Buffer;
}

export interface Listing {
  readonly members: Found[];
  readonly warnings: Warning[];
}

/** `share` of each body is read, and the rest left to be skipped. */
export async function listCursor(cursor: Cursor, share: (member: Member) => number = ({ size }) => size): Promise<Listing> {
  const warnings: Warning[] = [];
  const members: Found[] = [];
  for await (const member of readTar(cursor, (warning) => warnings.push(warning))) {
    const { name, type, size, offset } = member;
    members.push({ name, type, size, offset, body: Buffer.from(await member.body.read(share(member))) });
  }
  return { members, warnings };
}

export const list = (tar: Uint8Array, sizes?: readonly number[]): Promise<Listing> => listCursor(streamCursor(reusing(tar, sizes)));
export const names = async (tar: Uint8Array): Promise<string[]> => (await list(tar)).members.map(({ name }) => name);

export const body = noise(1300, 1);
export const disk = tarMember({}, body);
export const oneDisk = [{ name: 'disk.vhd', type: 'file', size: 1300, offset: 512, body: Buffer.from(body) }];
