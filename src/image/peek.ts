/** A peek at a member of an archive: how it is linked to others. */

import { startsWith } from '../bytes.ts';
import { decompress, MAGIC_BYTES } from '../codec/compression.ts';
import type { InflateChoice } from '../codec/inflate.ts';
import { type Chunks, type Cursor, streamCursor } from '../cursor.ts';
import { MAGIC } from '../disk/magic.ts';
import { isRawName } from '../ova/select.ts';
import type { Member } from '../ova/tar.ts';
import { FOOTER_SIZE, hasCookie } from '../vhd/footer.ts';
import { peekLinks } from '../vhd/head.ts';
import type { LinkFacts } from '../vhd/links.ts';

/** Whether a member begins like a VHD, whatever its name. A fixed one does not. */
export const beginsAsVhd = async ({ type, body }: Member): Promise<boolean> => type === 'file' && hasCookie(await body.peek(FOOTER_SIZE));

/** Of a gzipped member: it holds footer and header of any VHD in the usual order. */
const PACKED_BYTES = 16 * 1024;

/** Leaves `body`, which may be gzipped, at its start. Undefined if its links cannot be known. */
export async function memberLinks(name: string, body: Cursor, inflate: InflateChoice | undefined): Promise<LinkFacts | undefined> {
  const isRaw = isRawName(name);
  if (!isRaw && startsWith(await body.peek(MAGIC_BYTES), MAGIC.gzip)) return gzippedFacts(await body.peek(PACKED_BYTES), inflate);
  const links = await peekLinks(body);
  return isRaw && links?.type === 'fixed' && links.identity === undefined ? { type: 'raw', identity: undefined, parent: undefined } : links;
}

async function gzippedFacts(front: Uint8Array, inflate: InflateChoice | undefined): Promise<LinkFacts | undefined> {
  async function* stored(): Chunks {
    yield Uint8Array.from(front);
  }
  const head = streamCursor(decompress('gzip', stored(), inflate));
  try {
    return await peekLinks(head);
  } catch {
    return undefined; // What is wrong with it is reported when it is read.
  } finally {
    await head.close();
  }
}
