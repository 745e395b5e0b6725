/**
 * Packing members into a tar, in one forward pass. The headers are those of tar-stream.
 *
 * A member of 8 GiB or more has its size in base-256, in the header itself: GNU tar, libarchive, 7-Zip, Python, Go, busybox and VirtualBox
 * read that. A pax record would be the form of POSIX, but busybox ignores it, and then loses its place in the archive.
 */

import { checkOptions } from '../arguments.ts';
import { checkArguments } from '../block-arguments.ts';
import { roundUp } from '../bytes.ts';
import { type Chunks, checkedChunks } from '../cursor.ts';
import { assert, VdiStreamError } from '../errors.ts';
import { quote } from '../quote.ts';
import { TAR_BLOCK } from './header.ts';

export interface PackMember {
  /** ASCII, at most 100 characters. */
  readonly name: string;
  /** Bytes of the body. */
  readonly length: number;
  /** The body. Called once, after the members before it have been read to their ends. */
  bytes(): Chunks;
}

export interface PackOptions {
  /** The time of all members, in seconds since 1970-01-01 UTC; at most 2^31 - 1. */
  readonly mtime: number;
}

export interface PackedArchive {
  /** Bytes of the archive. */
  readonly length: number;
  /** The archive. A chunk is valid until the next one is requested. Throws what reading a member throws. */
  bytes(): Chunks;
}

const ZERO_BLOCKS = new Uint8Array(2 * TAR_BLOCK);
const MAX_NAME = 100;
const MAX_MTIME = 0x7fff_ffff;

/** An archive of files with the mode 0644 and the owner 0:0. The same members make the same bytes. Throws USAGE. */
export function packTar(members: readonly PackMember[], options: PackOptions): PackedArchive {
  checkArguments('packTar', members);
  checkOptions('packTar', options);
  const { mtime } = options;
  for (const { name } of members) checkName(name);
  const time = new Date(Math.min(mtime, MAX_MTIME) * 1000);
  const bodies = members.map(({ length }) => roundUp(length, TAR_BLOCK));
  return {
    length: bodies.reduce((sum, body) => sum + TAR_BLOCK + body, ZERO_BLOCKS.length),
    async *bytes() {
      for (const member of members) {
        yield await headerOf(member, time);
        yield* bodyOf(member);
        // No chunk is empty: in a chunked HTTP body that would be the end.
        const padding = roundUp(member.length, TAR_BLOCK) - member.length;
        if (padding > 0) yield ZERO_BLOCKS.subarray(0, padding);
      }
      yield ZERO_BLOCKS;
    },
  };
}

/** A longer name, or one in UTF-8, would take more than one block, and not every program reads it. */
function checkName(name: string): void {
  if (name !== '' && name.length <= MAX_NAME && /^[\x20-\x7e]+$/.test(name) && !name.endsWith('/')) return;
  throw new VdiStreamError('USAGE', `the name of a member must be 1 to ${MAX_NAME} ASCII characters, but one is ${quote(name)}`);
}

/** tar-stream exports no function that makes a header, but the first chunk of an archive is one. It is loaded once it is needed. */
async function headerOf({ name, length }: PackMember, mtime: Date): Promise<Uint8Array> {
  const { pack } = await import('tar-stream');
  const archive = pack();
  archive.entry({ name, size: length, mtime, type: 'file', mode: 0o644, uid: 0, gid: 0 });
  for await (const header of archive) {
    assert(header instanceof Uint8Array && header.length === TAR_BLOCK, 'a tar header is one block');
    return header;
  }
  throw new Error('unreachable: tar-stream makes a header');
}

/** The archive ends with the first byte too many or too few, so it never looks complete. */
async function* bodyOf(member: PackMember): AsyncGenerator<Uint8Array, void, void> {
  const { name, length } = member;
  let position = 0;
  for await (const chunk of checkedChunks(member.bytes())) {
    position += chunk.length;
    if (position > length) throw new VdiStreamError('USAGE', `the body of ${name} has more than ${length} bytes`);
    yield chunk;
  }
  if (position < length) throw new VdiStreamError('USAGE', `the body of ${name} has ${position} bytes, not ${length}`);
}
