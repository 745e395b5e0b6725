/** The end of a VHD: its footer, or what is left of it. */

import { startsWith } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { FOOTER_SIZE, type Footer, footerBytes, hasCookie, POISON, parseFooter, SHORT_FOOTER_SIZE } from './footer.ts';

interface End {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

/** The last 512 bytes (511 in an old file), also of a stream whose length was not known. */
export async function readEnd(cursor: Cursor): Promise<End> {
  if (cursor.length !== undefined) {
    // The blocks may have left less than a footer behind them: a damaged end, which the copy in front makes good.
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

/** An end that could be looked at before anything else; `error` says why it holds no footer, where something like one is there. */
interface EndAhead extends End {
  readonly footer?: Footer;
  readonly error?: unknown;
}

/** Looks at the end of what can be jumped through, and goes back to the start. Undefined where that cannot be. */
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
 * The end footer may be damaged in snapshots that were copied while they were coalesced (Nova bug 1362595), or poisoned by a
 * tapdisk that had the file open; the copy in front is good then. But two good footers that disagree about the size are
 * two different disks, and guessing would cut one off.
 */
export function checkEnd(bytes: Uint8Array, offset: number, front: Footer, warn: OnWarning): void {
  const odd = (message: string): void => {
    warn({ code: 'VHD_FOOTER_END', message, offset });
  };
  if (startsWith(bytes, POISON)) {
    odd('the footer at the end is poisoned: this VHD was copied while it was open for writing; the copy in front is used');
    return;
  }
  if (bytes.length < SHORT_FOOTER_SIZE || !hasCookie(bytes)) {
    odd('no footer at the end; its copy in front is used');
    return;
  }
  let end: Footer;
  try {
    end = parseFooter(bytes, offset);
  } catch (error) {
    if (!(error instanceof VdiStreamError)) throw error;
    odd(`${error.message}; the copy in front is used`);
    return;
  }
  if (end.virtualSize !== front.virtualSize) {
    throw new VdiStreamError(
      'VHD_FOOTERS_DIFFER',
      `the footer at the end says ${end.virtualSize} bytes, its copy in front ${front.virtualSize}`,
      {
        offset: offset + 48,
      },
    );
  }
  if (end.type !== front.type) {
    throw new VdiStreamError(
      'VHD_FOOTERS_DIFFER',
      `the footer at the end says ${end.type}, the one in front ${front.type}: perhaps a VHD inside a VHD`,
      {
        offset: offset + 60,
      },
    );
  }
  if (end.uniqueId !== front.uniqueId) odd('the footer at the end is not the same as its copy in front');
}
