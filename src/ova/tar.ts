/**
 * The members of a tar, in one forward pass: ustar, GNU long names, pax. Names are only compared and shown, never opened, so "../" in a name
 * is harmless.
 */

import { checkArguments } from '../block-arguments.ts';
import { isZero, roundUp } from '../bytes.ts';
import { type Cursor, truncated, within } from '../cursor.ts';
import { fromStart, inMember, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { parseTarHeader, TAR_BLOCK, type TarType, text } from './header.ts';
import { type PaxRecords, parsePax } from './pax.ts';

/** The largest long name or pax header. A larger one is an attack on memory. */
const MAX_EXTENSION = 64 * 1024;

export interface Member {
  readonly name: string;
  readonly type: TarType;
  /** Bytes of the body. */
  readonly size: number;
  /** Byte offset of the body in the archive. */
  readonly offset: number;
  /** The body; any part that the consumer does not read is skipped. */
  readonly body: Cursor;
}

/**
 * Throws TAR_HEADER, TAR_SIZE, TAR_EXTENSION, TAR_MULTIVOLUME, and SOURCE_TRUNCATED for a truncated member. Missing end blocks after a
 * complete member cause a warning, and so do bytes after the end blocks.
 */
export async function* readTar(cursor: Cursor, warn: OnWarning = () => {}): AsyncGenerator<Member, void, void> {
  checkArguments('readTar', cursor, warn);
  let pending: PaxRecords = {};
  let extended = false;
  let members = 0;

  for (;;) {
    const offset = cursor.position;
    const block = await cursor.peek(TAR_BLOCK);
    if (block.length === 0 && members > 0 && !extended) {
      return warn({ code: 'TAR_END_MISSING', message: 'the tar has no end blocks', offset });
    }
    if (block.length < TAR_BLOCK) throw truncated(offset + block.length);
    const header = isZero(block) ? undefined : parseTarHeader(block, offset);
    await cursor.moveTo(offset + TAR_BLOCK);
    if (header === undefined) {
      if (extended)
        throw new VdiStreamError('TAR_EXTENSION', 'the tar ends after a long name or pax header, without the member it belongs to', {
          offset,
        });
      return readEndBlocks(cursor, warn);
    }

    if (header.type === 'longname' || header.type === 'longlink' || header.type === 'pax' || header.type === 'global') {
      const content = await readExtension(cursor, header.size, offset);
      if (header.type === 'longname') pending = { ...pending, path: text(content) };
      if (header.type === 'pax') pending = { ...pending, ...parsePax(content, offset) };
      extended ||= header.type !== 'global';
      continue;
    }
    if (header.type === 'volume') throw new VdiStreamError('TAR_MULTIVOLUME', 'this archive continues from another volume', { offset });

    if (header.type === 'sparse') await skipSparseMaps(cursor, block);
    const name = showable(pending.path ?? header.name);
    const bodyless = header.type === 'link' || header.type === 'special' || header.type === 'directory';
    const size = bodyless ? 0 : (pending.size ?? header.size);
    if (size === undefined)
      throw new VdiStreamError('TAR_SIZE', 'the size of this member is not a number', { member: name, offset: offset + 124 });
    const type = header.type === 'file' && pending.sparse === true ? 'sparse' : header.type;
    const bodyOffset = cursor.position;
    pending = {};
    extended = false;
    members++;

    yield { name, type, size, offset: bodyOffset, body: within(cursor, size) };
    try {
      if (cursor.position < bodyOffset + size) await cursor.moveTo(bodyOffset + size);
      // The last member may lack its padding.
      const padding = roundUp(size, TAR_BLOCK) - size;
      await cursor.moveTo(cursor.position + (await cursor.peek(padding)).length);
    } catch (error) {
      throw inMember(name, fromStart(bodyOffset, error));
    }
  }
}

async function readExtension(cursor: Cursor, size: number | undefined, offset: number): Promise<Uint8Array> {
  if (size === undefined || size > MAX_EXTENSION) {
    const problem = size === undefined ? 'without a valid size' : `of ${size} bytes, more than the limit of ${MAX_EXTENSION}`;
    throw new VdiStreamError('TAR_EXTENSION', `a long name or pax header ${problem}`, { offset });
  }
  const content = await cursor.read(size);
  await cursor.moveTo(cursor.position + roundUp(size, TAR_BLOCK) - size);
  return content;
}

/** The old GNU sparse format continues its map in extra blocks, each with a flag that says whether another follows. */
async function skipSparseMaps(cursor: Cursor, header: Uint8Array): Promise<void> {
  let more = header[482] !== 0;
  while (more) more = (await cursor.read(TAR_BLOCK))[504] !== 0;
}

/** After the first zero block: a second one, then padding to the record size. */
async function readEndBlocks(cursor: Cursor, warn: OnWarning): Promise<void> {
  const offset = cursor.position;
  const block = await cursor.peek(TAR_BLOCK);
  if (block.length < TAR_BLOCK || !isZero(block)) {
    warn({ code: 'TAR_END_MISSING', message: 'the tar has one end block instead of two', offset });
  }
  for await (const chunk of cursor.chunks()) {
    if (isZero(chunk)) continue;
    return warn({
      code: 'TAR_TRAILING',
      message: 'the end of the tar is followed by bytes other than padding',
      offset: cursor.position - chunk.length,
    });
  }
}

/** Names are printed, and a terminal acts on control characters. */
const showable = (name: string): string => name.replace(/[\p{Cc}\p{Cf}]/gu, '?');
