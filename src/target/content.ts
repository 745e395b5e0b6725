/** What a target holds that writing would destroy. */

import { isZero, KiB, MiB, roundDown } from '../bytes.ts';
import { describeContent, findContent, type ReadRange } from '../disk/probe.ts';

/** How much of each end of a file must be zeros. */
const END = MiB;
const STEP = 256 * KiB;
const FILE_ALIGN = 4 * KiB;

/**
 * What a block device of `size` bytes holds, as words that follow "holds": "an LVM physical volume, label at byte 512". Undefined if it
 * bears no signature. `read` gets ranges as `findContent` describes them.
 */
export async function deviceContent(size: number, read: ReadRange): Promise<string | undefined> {
  const content = await findContent(size, read);
  return content && describeContent(content);
}

/**
 * Likewise for a file, in which anything else in the first or the last MiB counts, too: "data at byte 4096". Undefined if both are zeros,
 * as in a new or a sparse file.
 */
export async function fileContent(size: number, read: ReadRange): Promise<string | undefined> {
  const known = await deviceContent(size, read);
  if (known !== undefined) return known;
  const lastStart = Math.max(0, roundDown(size - END, FILE_ALIGN));
  const first = (await firstData(0, Math.min(END, size), read)) ?? (await firstData(lastStart, size, read));
  return first === undefined ? undefined : `data at byte ${first}`;
}

/** The first byte from `start` to `end` that is not zero. */
async function firstData(start: number, end: number, read: ReadRange): Promise<number | undefined> {
  for (let at = start; at < end; at += STEP) {
    const bytes = await read(at, Math.min(STEP, end - at));
    if (!isZero(bytes)) return at + bytes.findIndex((value) => value !== 0);
  }
  return undefined;
}
