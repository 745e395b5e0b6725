/** Whether bytes are exactly a fixed VHD: the end decides, since the disk may begin with anything, such as a tar that was written to it. */

import type { Cursor } from '../cursor.ts';
import { footerBytes, goodFooter } from './footer.ts';

/** `tail` has the last bytes of `length`: a valid footer of a fixed VHD that has exactly this length. */
export function isExactlyFixed(tail: Uint8Array, length: number): boolean {
  const size = footerBytes(length);
  const bytes = tail.subarray(Math.max(0, tail.length - size));
  const footer = bytes.length < size ? undefined : goodFooter(bytes);
  return footer?.type === 'fixed' && footer.virtualSize + size === length;
}

/** Looks at the end and returns to the start. False if the cursor cannot seek. */
export async function endsAsFixed(cursor: Cursor): Promise<boolean> {
  const { length, seekable } = cursor;
  if (!seekable || length === undefined) return false;
  await cursor.moveTo(Math.max(0, length - footerBytes(length)));
  const tail = await cursor.peek(footerBytes(length));
  await cursor.moveTo(0);
  return isExactlyFixed(tail, length);
}
