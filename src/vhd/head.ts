/** Head: the links of a VHD, read from as few bytes as possible. What is wrong with them is left to `decodeVhd` and `checkVhd`. */

import type { Cursor } from '../cursor.ts';
import { isOfImage, VdiStreamError } from '../errors.ts';
import { lookAtEnd } from './end.ts';
import { FOOTER_SIZE, hasCookie, identityOf, parseFooter } from './footer.ts';
import { HEADER_SIZE, headerOffset, parseHeader } from './header.ts';
import type { LinkFacts } from './links.ts';

/** What a cursor can peek at. */
const MAX_PEEK = 64 * 1024;

/**
 * Leaves the cursor where it is: at the start of the VHD. A fixed VHD has its unique ID only if the cursor can seek, since its footer is at
 * the end. Undefined if the links are not known.
 */
export async function peekLinks(cursor: Cursor): Promise<LinkFacts | undefined> {
  try {
    const end = (await lookAtEnd(cursor))?.footer;
    if (end?.type === 'fixed') return { type: 'fixed', identity: identityOf(end), parent: undefined };
    const front = await cursor.peek(FOOTER_SIZE);
    if (!hasCookie(front)) return { type: 'fixed', identity: undefined, parent: undefined };
    if (front.length < FOOTER_SIZE) return undefined;
    const footer = parseFooter(front, 0, () => {});
    const bytes = await bytesAt(cursor, headerOffset(footer), HEADER_SIZE);
    if (bytes.length < HEADER_SIZE) return undefined;
    const header = parseHeader(bytes, footer, () => {});
    return { type: footer.type, identity: identityOf(footer), parent: header.parent };
  } catch (error) {
    if (error instanceof VdiStreamError && (isOfImage(error) || error.code === 'SOURCE_TRUNCATED')) return undefined;
    throw error;
  }
}

async function bytesAt(cursor: Cursor, offset: number, length: number): Promise<Uint8Array> {
  if (!cursor.seekable || offset + length <= MAX_PEEK) return (await cursor.peek(Math.min(MAX_PEEK, offset + length))).subarray(offset);
  await cursor.moveTo(offset);
  const bytes = await cursor.read(length);
  await cursor.moveTo(0);
  return bytes;
}
