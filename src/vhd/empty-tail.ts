/**
 * Empty tail: the last blocks of the file, in the order of the file, whose bitmaps have no bit set. A copy into a file that had its whole
 * length from the start leaves them when it is stopped: from some byte on, the file is zeros.
 *
 * Only the tail counts. Some producers allocate all blocks in advance (Hyper-V, VirtualBox), so good files have empty bitmaps anywhere, but
 * the block that was allocated last was allocated to be written. Only dynamic disks are judged: in a differencing disk, blocks whose
 * sectors are all the parent's are what a reverted snapshot leaves.
 */

import { isZero, SECTOR } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { type OnFault, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import type { Bat } from './bat.ts';
import { type End, hasFooter } from './end.ts';

export interface EmptyTail {
  /** Blocks. */
  readonly count: number;
  /** The byte of the file at which the first of them begins. */
  readonly offset: number;
}

/** Limits the reads for a hostile table; a tail of so many blocks is 128 GiB. */
const MAX_LOOKED_AT = 64 * 1024;

/** Reads the bitmaps of a file from the last one back to the first that is not empty, which nearly always is the last. */
export async function findEmptyTail(cursor: Cursor, { placed, bitmapBytes }: Bat): Promise<EmptyTail | undefined> {
  const least = Math.max(0, placed.count - MAX_LOOKED_AT);
  let index = placed.count;
  for (; index > least; index--) {
    await cursor.moveTo(placed.sector(index - 1) * SECTOR);
    if (!isZero(await cursor.read(bitmapBytes))) break;
  }
  return tailFrom(index, placed);
}

/** Finds the same in a stream, whose bitmaps arrive in the order of the file. */
interface EmptyTailWatch {
  see(index: number, bitmap: Uint8Array): void;
  tail(): EmptyTail | undefined;
}

export function watchEmptyTail({ placed }: Bat): EmptyTailWatch {
  let first = 0;
  let next = 0;
  return {
    see(index, bitmap) {
      next = index + 1;
      if (!isZero(bitmap)) first = next;
    },
    // The bitmaps may not have been read, if the data was not needed.
    tail: () => (next === placed.count ? tailFrom(first, placed) : undefined),
  };
}

const tailFrom = (first: number, { count, sector }: Bat['placed']): EmptyTail | undefined =>
  first < count ? { count: count - first, offset: sector(first) * SECTOR } : undefined;

/** With a footer at the end, an empty tail is a warning, since a host that crashed leaves one too. Without one, it is an error. */
export function judgeEmptyTail(tail: EmptyTail | undefined, end: Pick<End, 'bytes'>, warn: OnWarning, fault: OnFault): void {
  if (tail === undefined) return;
  const { count, offset } = tail;
  const blocks = count === 1 ? 'the last block' : `the last ${count} blocks`;
  const what = `from byte ${offset} of the file on, ${blocks} in it hold nothing: no bit of a bitmap is set`;
  if (hasFooter(end)) warn({ code: 'VHD_EMPTY_TAIL', message: what, offset });
  else fault(new VdiStreamError('VHD_UNFINISHED', `${what}, and there is no footer at the end`, { offset }));
}
