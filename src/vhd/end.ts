/** The end of a VHD, where its footer should be. */

import { isZero, lastNonZero, MiB, roundDown, roundUp, SECTOR, startsWith } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { differingFields, FOOTER_SIZE, type Footer, footerBytes, hasCookie, POISON, parseFooter, SHORT_FOOTER_SIZE } from './footer.ts';

/** The footer at the end, or, if there is none, the last 512 bytes (511 in an old file). */
export interface End {
  readonly bytes: Uint8Array;
  readonly offset: number;
  /** Bytes of the file after it: zeros, except after a footer that was found where the blocks end. */
  readonly rest: number;
}

/** Whether there is a footer, if only a damaged one. */
export const hasFooter = ({ bytes }: Pick<End, 'bytes'>): boolean => hasCookie(bytes) || startsWith(bytes, POISON);

/** Zeros after a footer that are searched: a file is made longer by a partition's alignment or by an extent of a volume. */
const MAX_ZEROS = 64 * MiB;
const PIECE = MiB;

/** Reads the last 512 bytes (511 in an old file), also from a stream of unknown length. */
export async function readEnd(cursor: Cursor): Promise<End> {
  if (cursor.length !== undefined) {
    // If the footer is missing, the last block may end within these bytes; then only the rest is read.
    const offset = Math.max(cursor.seekable ? 0 : cursor.position, cursor.length - footerBytes(cursor.length));
    await cursor.moveTo(offset);
    return { bytes: await cursor.read(cursor.length - offset), offset, rest: 0 };
  }
  return readRest(cursor);
}

/** Receives sectors that are not zero, with their offsets. They are valid until it returns. */
type Look = (sector: Uint8Array, offset: number) => void;

/**
 * Reads the rest of a stream, which begins at a sector. Passes all sectors that are not zero to `look`, except for the footer: the last of
 * them, if it has the cookie of one.
 */
export async function readRest(cursor: Cursor, look?: Look): Promise<End> {
  let tail: Uint8Array = new Uint8Array(0);
  let partial: Uint8Array = new Uint8Array(0);
  /** The last two that are not zero: a footer may begin at any byte, and so be in both. */
  let held: readonly { readonly sector: Uint8Array; readonly offset: number }[] = [];
  const hold = (sector: Uint8Array, offset: number): void => {
    const [first, second] = held;
    if (first !== undefined && second !== undefined) look?.(first.sector, first.offset);
    held = [...held.slice(-1), { sector, offset }];
  };
  for await (const chunk of cursor.chunks()) {
    tail = Buffer.concat([
      tail.subarray(chunk.length < FOOTER_SIZE ? chunk.length - FOOTER_SIZE : tail.length),
      chunk.subarray(-FOOTER_SIZE),
    ]);
    const bytes = partial.length > 0 ? Buffer.concat([partial, chunk]) : chunk;
    const start = cursor.position - bytes.length;
    const whole = bytes.subarray(0, roundDown(bytes.length, SECTOR));
    // Without `look`, only the last one counts.
    const last = roundDown(lastNonZero(whole), SECTOR);
    for (let at = look === undefined ? last : 0; at >= 0 && at <= last; at += SECTOR) {
      const sector = whole.subarray(at, at + SECTOR);
      if (!isZero(sector)) hold(sector, start + at);
    }
    // A chunk is valid until the next one is requested.
    held = held.map(({ sector, offset }) => ({ sector: Uint8Array.from(sector), offset }));
    partial = Uint8Array.from(bytes.subarray(whole.length));
  }
  if (!isZero(partial)) hold(partial, cursor.position - partial.length);
  const size = Math.min(footerBytes(cursor.position), tail.length);
  const end = { bytes: tail.subarray(tail.length - size), offset: cursor.position - size, rest: 0 };
  const last = held.at(-1);
  const isBefore = last !== undefined && last.offset + last.sector.length <= end.offset && hasFooter({ bytes: last.sector });
  for (const { sector, offset } of isBefore ? held.slice(0, -1) : held) {
    const rest = sector.subarray(0, Math.max(0, end.offset - offset));
    if (!isZero(rest)) look?.(rest, offset);
  }
  if (!isBefore) return end;
  return { bytes: last.sector, offset: last.offset, rest: cursor.position - last.offset - last.sector.length };
}

/** An end that was read first. `error` says what is wrong with its footer, if it has the cookie of one. */
export interface EndAhead extends End {
  readonly footer?: Footer;
  readonly error?: unknown;
}

/** The end of a fixed VHD. */
export type FixedEnd = EndAhead & { readonly footer: Footer };

export const isFixed = (end: EndAhead | undefined): end is FixedEnd => end?.footer?.type === 'fixed';

/** Reads the end first and returns to the start. Undefined if the cursor cannot seek. */
export async function lookAtEnd(cursor: Cursor): Promise<EndAhead | undefined> {
  if (!cursor.seekable || cursor.length === undefined) return undefined;
  const last = await readEnd(cursor);
  const found = isZero(last.bytes) ? await footerBeforeZeros(cursor, cursor.length) : undefined;
  await cursor.moveTo(0);
  return found ?? parsed(last, cursor.length);
}

function parsed(end: End, length: number): EndAhead {
  if (!hasCookie(end.bytes) || end.bytes.length < footerBytes(length)) return end;
  try {
    return { ...end, footer: parseFooter(end.bytes, end.offset) };
  } catch (error) {
    return { ...end, error };
  }
}

/**
 * A footer that only zeros follow. A disk may hold other VHDs, so one of a fixed disk counts if it is where its size says, and any other if the
 * file begins with a footer too.
 */
async function footerBeforeZeros(cursor: Cursor, length: number): Promise<EndAhead | undefined> {
  const least = roundUp(Math.max(0, length - MAX_ZEROS), SECTOR);
  for (let to = length; to > least; ) {
    const from = Math.max(least, roundDown(to - 1, PIECE));
    await cursor.moveTo(from);
    const bytes = await cursor.read(to - from);
    const at = lastNonZero(bytes);
    to = from;
    if (at < 0) continue;
    const start = roundDown(at, SECTOR);
    const offset = from + start;
    const found = parsed({ bytes: bytes.subarray(start, start + SECTOR), offset, rest: length - offset - SECTOR }, SECTOR);
    if (!hasFooter(found) || found.rest === 0) return undefined;
    const fits = found.footer?.type === 'fixed' ? found.footer.virtualSize === offset : await beginsWithFooter(cursor);
    return fits ? found : undefined;
  }
  return undefined;
}

async function beginsWithFooter(cursor: Cursor): Promise<boolean> {
  await cursor.moveTo(0);
  return hasCookie(await cursor.peek(FOOTER_SIZE));
}

export function warnOfRest({ isDevice }: Cursor, { offset, bytes, rest }: End, warn: OnWarning): void {
  const after = offset + bytes.length;
  if (isDevice) {
    const message = `${rest} bytes follow the footer, from byte ${after} on: the device is larger than the VHD`;
    warn({ code: 'VHD_DEVICE_REST', message, offset: after });
  } else {
    const message = `${rest} zero bytes follow the footer, from byte ${after} on: the file was made longer`;
    warn({ code: 'VHD_LONGER', message, offset: after });
  }
}

/**
 * Compares the footer at the end with its copy at the start. The end may be damaged in a snapshot that was copied while it was coalesced
 * (Nova bug 1362595), or poisoned by a tapdisk that had the file open; then the copy is good. But two good footers that disagree about the
 * size or type describe different disks, and guessing could truncate the disk.
 */
export function checkEnd({ bytes, offset }: Pick<End, 'bytes' | 'offset'>, front: Footer, warn: OnWarning): Footer | undefined {
  const warnOfEnd = (message: string): undefined => {
    warn({ code: 'VHD_FOOTER_END', message, offset });
  };
  if (startsWith(bytes, POISON)) {
    return warnOfEnd('the footer at the end is poisoned: the VHD was copied while it was open for writing; its copy at the start is used');
  }
  if (bytes.length < SHORT_FOOTER_SIZE || !hasCookie(bytes)) return warnOfEnd('no footer at the end; its copy at the start is used');
  let end: Footer;
  try {
    end = parseFooter(bytes, offset);
  } catch (error) {
    if (!(error instanceof VdiStreamError)) throw error;
    return warnOfEnd(`${error.message}; its copy at the start is used`);
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
  const fields = differingFields(front, end);
  if (fields.length > 0) {
    warnOfEnd(`the footer at the end differs from its copy at the start, which is used: ${fields.join(', ')}`);
  }
  return end;
}
