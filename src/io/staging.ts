/** A folder to keep bytes in that are needed again: the layers of a chain that a stream brings before their leaf. */

import { randomUUID } from 'node:crypto';
import { mkdir, open, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cursor } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { errnoOf, fileCursor } from './file.ts';

export interface Staged {
  readonly cursor: Cursor;
  close(): Promise<void>;
}

/**
 * Copies what is left of `from` into `folder`, which is made if it is not there. The file has no name any more by the time the first
 * byte is written, so nothing is left of it when the process ends, however it ends. Throws STAGING.
 */
export async function stage(folder: string, from: Cursor): Promise<Staged> {
  try {
    await mkdir(folder, { recursive: true });
    const path = join(folder, `.vdistream-${randomUUID()}`);
    const file = await open(path, 'wx+', 0o600);
    try {
      await unlink(path);
      await writeFile(file, from.chunks());
      const { size } = await file.stat();
      return { cursor: fileCursor(file, size, `a layer in ${folder}`, () => {}), close: () => file.close() };
    } catch (error) {
      await file.close();
      throw error;
    }
  } catch (cause) {
    if (cause instanceof VdiStreamError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new VdiStreamError('STAGING', `cannot keep a layer in ${folder}: ${reason}`, { errno: errnoOf(cause), cause });
  }
}
