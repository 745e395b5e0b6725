/** Disks to read at any place, from files. */

import { type FileHandle, open } from 'node:fs/promises';
import { onTestFinished } from 'vitest';
import type { ReadableDisk } from '../../src/disk/readable.ts';
import { allocate } from '../../src/host/memory.ts';
import { openDisks } from '../../src/image/disks.ts';
import type { Warning } from '../../src/warnings.ts';

interface OpenOptions {
  readonly raw?: boolean;
  readonly anyParent?: boolean;
  readonly warnings?: Warning[];
}

/** The disks that paths lead to, closed after the test. */
export async function opened(paths: readonly string[], options: OpenOptions = {}): Promise<ReadableDisk[]> {
  const { raw = false, anyParent = false, warnings = [] } = options;
  const disks = await openDisks(paths, { raw, rawBase: false, anyParent, onWarning: (warning) => warnings.push(warning) });
  onTestFinished(async () => {
    for (const disk of disks) await disk.close();
  });
  return disks;
}

/** The one disk. */
export async function openedDisk(paths: readonly string[], options: OpenOptions = {}): Promise<ReadableDisk> {
  const [disk, ...others] = await opened(paths, options);
  if (disk === undefined || others.length > 0) throw new Error(`${others.length + 1} disks`);
  return disk;
}

/** Into memory that was full of something else, aligned for O_DIRECT. */
export async function bytesAt(disk: ReadableDisk, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.from(allocate(Math.ceil(Math.max(length, 1) / 4096) * 4096)).fill(0xa5);
  const whole = bytes.subarray(0, Math.ceil(length / disk.align) * disk.align);
  await disk.read(whole, offset);
  return whole.subarray(0, length);
}

/** Writes parts of a file, with holes in place of megabytes of zeros. */
export async function storeSparse(path: string, parts: Iterable<Buffer>): Promise<void> {
  const file = await open(path, 'w');
  let at = 0;
  for (const part of parts) at = await writePart(file, part, at);
  await file.truncate(at);
  await file.close();
}

const STEP = 1 << 20;
const ZEROS = Buffer.alloc(STEP);

async function writePart(file: FileHandle, part: Buffer, at: number): Promise<number> {
  for (let from = 0; from < part.length; from += STEP) {
    const chunk = part.subarray(from, from + STEP);
    if (!chunk.equals(ZEROS.subarray(0, chunk.length))) await file.write(chunk, 0, chunk.length, at + from);
  }
  return at + part.length;
}
