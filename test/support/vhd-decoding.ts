/** The ways to a VHD: a stream without and with a known length, and a file. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { streamCursor } from '../../src/cursor.ts';
import type { Disk } from '../../src/disk/disk.ts';
import { openSource } from '../../src/engine/open.ts';
import { decodeVhd } from '../../src/vhd/decode.ts';
import type { OnWarning } from '../../src/warnings.ts';
import { reusing } from './chunks.ts';

/** Reads the same VHD from a stream without and with a known length, and from a file. */
export async function waysOf(
  vhd: Uint8Array,
  sizes: readonly number[],
  folder: string,
  use: (disk: Promise<Disk>) => Promise<void>,
  warn: OnWarning = () => {},
): Promise<void> {
  await use(decodeVhd(streamCursor(reusing(vhd, sizes)), { onWarning: warn }));
  await use(decodeVhd(streamCursor(reusing(vhd, sizes), vhd.length), { onWarning: warn }));
  await fromFile(vhd, folder, use, warn);
}

export async function fromFile(
  vhd: Uint8Array,
  folder: string,
  use: (disk: Promise<Disk>) => Promise<void>,
  warn: OnWarning = () => {},
): Promise<void> {
  const path = join(folder, 'image.vhd');
  writeFileSync(path, vhd);
  const source = await openSource(path);
  try {
    await use(decodeVhd(source.cursor, { onWarning: warn }));
  } finally {
    await source.close();
  }
}

export const stream = (vhd: Uint8Array, length?: number): ReturnType<typeof streamCursor> => streamCursor(reusing(vhd), length);
