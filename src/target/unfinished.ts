/**
 * Unfinished: a note that a write to a device has begun. It is removed when the write has succeeded, so a later refusal can say where the
 * content comes from. Notes are only for people: without the folder for them there are none. A reboot removes them.
 */

import { statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kernelText } from '../host/kernel-files.ts';
import type { Opened } from '../host/opened.ts';
import { defaultLockFolder, hasPrivateFolder, preparePrivateFolder } from '../host/private-folder.ts';

interface WriteNote {
  remove(): void;
}

/** Notes that a write begins. */
export async function noteWrite(device: Opened): Promise<WriteNote> {
  const path = await notePath(device);
  ifPossible(() => {
    preparePrivateFolder(defaultLockFolder(), 'LOCK_FILE');
    writeFileSync(path, '', { mode: 0o600 });
  });
  return { remove: () => void ifPossible(() => unlinkSync(path)) };
}

/** When a write to the device began that has not finished; undefined if there is no note of one. */
export async function unfinishedSince(device: Opened): Promise<Date | undefined> {
  const path = await notePath(device);
  return ifPossible(() => (hasPrivateFolder(defaultLockFolder(), 'LOCK_FILE') ? statSync(path).mtime : undefined));
}

/** A device number is reused, for another loop device say. Since Linux 5.15 each disk has a sequence number too (sysfs-block, diskseq). */
async function notePath({ major, minor }: Opened): Promise<string> {
  const id = `${major}:${minor}`;
  const sequence = await kernelText(`/sys/dev/block/${id}/diskseq`);
  return join(defaultLockFolder(), `write-${id}${sequence === '' ? '' : `-${sequence}`}`);
}

function ifPossible<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
