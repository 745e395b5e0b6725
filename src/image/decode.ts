/** Decodes one stored disk as a VHD or a raw disk, or throws the error that says what it is instead. */

import type { Cursor } from '../cursor.ts';
import type { Disk } from '../disk/disk.ts';
import { FRONT_BYTES, refuseOtherFormat } from '../disk/other-formats.ts';
import { rawDisk } from '../disk/raw.ts';
import { VdiStreamError } from '../errors.ts';
import { decodeVhd } from '../vhd/decode.ts';
import { lookAtEnd } from '../vhd/end.ts';
import { FOOTER_SIZE, hasCookie } from '../vhd/footer.ts';
import type { OnWarning } from '../warnings.ts';

/** Throws FORMAT_OTHER for any format that is recognized: its bytes must not be written as if they were the disk. */
export async function decodeBareRaw(cursor: Cursor, size: number | undefined, warn: OnWarning): Promise<Disk> {
  if (await isVhd(cursor))
    throw new VdiStreamError('FORMAT_OTHER', 'this is a VHD, not a raw disk', {
      offset: 0,
      advice: 'Read it as a VHD, not as a raw disk.',
    });
  refuseOtherFormat(await cursor.peek(FRONT_BYTES));
  return rawDisk(cursor, size, warn);
}

/** A member named like a raw disk may still be a VHD. */
export async function decodeRawMember(cursor: Cursor, warn: OnWarning): Promise<Disk> {
  if (await isVhd(cursor)) return decodeVhd(cursor, { onWarning: warn });
  refuseOtherFormat(await cursor.peek(FRONT_BYTES));
  return rawDisk(cursor, undefined, warn);
}

export async function decodeBareVhd(cursor: Cursor, warn: OnWarning): Promise<Disk> {
  try {
    return await decodeVhd(cursor, { onWarning: warn });
  } catch (error) {
    throw ofBare(error);
  }
}

/** Whether there is a VHD footer at the start, or at the end if that can be read. */
export async function isVhd(cursor: Cursor): Promise<boolean> {
  if (hasCookie(await cursor.peek(FOOTER_SIZE))) return true;
  const end = await lookAtEnd(cursor);
  return end !== undefined && hasCookie(end.bytes);
}

/** For a bare source, FORMAT_UNKNOWN ("neither a VHD nor a tar") says more than VHD_FOOTER. */
export const ofBare = (error: unknown): unknown =>
  error instanceof VdiStreamError && error.code === 'VHD_FOOTER' ? unknownFormat(error) : error;

const unknownFormat = (cause?: unknown): VdiStreamError =>
  new VdiStreamError('FORMAT_UNKNOWN', 'this is neither a VHD nor a tar archive', {
    offset: 0,
    cause,
  });
