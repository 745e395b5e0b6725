/** The end of a VHD, where its footer should be. */

import { startsWith } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { FOOTER_SIZE, type Footer, footerBytes, hasCookie, POISON, parseFooter, SHORT_FOOTER_SIZE } from './footer.ts';

interface End {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

/** Reads the last 512 bytes (511 in an old file), also from a stream of unknown length. */
export async function readEnd(cursor: Cursor): Promise<End> {
  if (cursor.length !== undefined) {
    // If the footer is missing, the last block may end within these bytes; then only the rest is read.
    const offset = Math.max(cursor.seekable ? 0 : cursor.position, cursor.length - footerBytes(cursor.length));
    await cursor.moveTo(offset);
    return { bytes: await cursor.read(cursor.length - offset), offset };
  }
  let tail: Uint8Array = new Uint8Array(0);
  for await (const chunk of cursor.chunks()) {
    tail = Buffer.concat([
      tail.subarray(Math.max(0, tail.length + Math.min(chunk.length, FOOTER_SIZE) - FOOTER_SIZE)),
      chunk.subarray(-FOOTER_SIZE),
    ]);
  }
  const size = footerBytes(cursor.position);
  return { bytes: tail.subarray(-size), offset: cursor.position - Math.min(size, tail.length) };
}

/** An end that was read first. `error` says what is wrong with its footer, if it has the cookie of one. */
interface EndAhead extends End {
  readonly footer?: Footer;
  readonly error?: unknown;
}

/** Reads the end first and returns to the start. Undefined if the cursor cannot seek. */
export async function lookAtEnd(cursor: Cursor): Promise<EndAhead | undefined> {
  if (!cursor.seekable || cursor.length === undefined) return undefined;
  const end = await readEnd(cursor);
  await cursor.moveTo(0);
  if (!hasCookie(end.bytes) || end.bytes.length < footerBytes(cursor.length)) return end;
  try {
    return { ...end, footer: parseFooter(end.bytes, end.offset) };
  } catch (error) {
    return { ...end, error };
  }
}

/**
 * Compares the footer at the end with its copy at the start. The end may be damaged in a snapshot that was copied while it was coalesced
 * (Nova bug 1362595), or poisoned by a tapdisk that had the file open; then the copy is good. But two good footers that disagree about the
 * size or type describe different disks, and guessing could truncate the disk.
 */
export function checkEnd(bytes: Uint8Array, offset: number, front: Footer, warn: OnWarning): void {
  const warnOfEnd = (message: string): void => {
    warn({ code: 'VHD_FOOTER_END', message, offset });
  };
  if (startsWith(bytes, POISON)) {
    warnOfEnd('the footer at the end is poisoned: the VHD was copied while it was open for writing; its copy at the start is used');
    return;
  }
  if (bytes.length < SHORT_FOOTER_SIZE || !hasCookie(bytes)) {
    warnOfEnd('no footer at the end; its copy at the start is used');
    return;
  }
  let end: Footer;
  try {
    end = parseFooter(bytes, offset);
  } catch (error) {
    if (!(error instanceof VdiStreamError)) throw error;
    warnOfEnd(`${error.message}; its copy at the start is used`);
    return;
  }
  if (end.virtualSize !== front.virtualSize) {
    throw new VdiStreamError(
      'VHD_FOOTERS_DIFFER',
      `the footer at the end says ${end.virtualSize} bytes, its copy at the start ${front.virtualSize}`,
      {
        offset: offset + 48,
      },
    );
  }
  if (end.type !== front.type) {
    throw new VdiStreamError(
      'VHD_FOOTERS_DIFFER',
      `the footer at the end says ${end.type}, its copy at the start ${front.type}: perhaps a VHD inside a VHD`,
      {
        offset: offset + 60,
      },
    );
  }
  if (end.uniqueId !== front.uniqueId) warnOfEnd('the footer at the end differs from its copy at the start');
}
