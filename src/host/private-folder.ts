/** Private folder: a folder that no other user can read or write, for locks and for records of what this host has created. */

import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { type ErrorCode, messageOf, VdiStreamError } from '../errors.ts';
import { codeOf, errnoOf } from './errno.ts';
import { effectiveUser, isOwn } from './user.ts';

/**
 * Creates the folder if it is missing. Throws `code` unless it is a folder of the effective user with mode 0700: in any other, somebody
 * else could hold a lock, or write a record.
 */
export function preparePrivateFolder(path: string, code: ErrorCode): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    // EEXIST if it is a file or a link that leads nowhere, which the check reports.
    if (codeOf(cause) !== 'EEXIST') throw privateFolderError(path, code, cause);
  }
  hasPrivateFolder(path, code);
}

/** False if the folder does not exist. Throws as `preparePrivateFolder` does. */
export function hasPrivateFolder(path: string, code: ErrorCode): boolean {
  try {
    const found = lstatSync(path);
    const wrong = wrongWith(path, { isFolder: found.isDirectory(), uid: found.uid, mode: found.mode % 0o10000 });
    if (wrong === undefined) return true;
    throw new VdiStreamError(code, wrong);
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return false;
    throw privateFolderError(path, code, cause);
  }
}

function privateFolderError(path: string, code: ErrorCode, cause: unknown): VdiStreamError {
  if (cause instanceof VdiStreamError) return cause;
  const reason = messageOf(cause);
  return new VdiStreamError(code, `cannot use the folder ${path}: ${reason}`, { errno: errnoOf(cause), cause });
}

interface FolderState {
  readonly isFolder: boolean;
  readonly uid: number;
  /** Permission bits. */
  readonly mode: number;
}

/** What is wrong with the folder, and what to do. */
function wrongWith(path: string, { isFolder, uid, mode }: FolderState): string | undefined {
  if (!isFolder) return `${path} is not a folder but a link or a file. Find out who created it, then remove it`;
  if (effectiveUser() === undefined) return undefined;
  if (!isOwn({ uid })) return `${path} belongs to user ${uid}, not to user ${effectiveUser()}. Find out who created it, then remove it`;
  if (mode % 0o100 !== 0)
    return `other users may access ${path} (mode ${mode.toString(8)}). Check what is in it, then run: chmod 700 ${path}`;
  return undefined;
}

/** For locks. On Linux, it is empty after a reboot. */
export function defaultLockFolder(): string {
  // Elsewhere the folder for temporary files belongs to the user, or is in that of the system.
  if (process.platform !== 'linux') return join(tmpdir(), `vdistream-${effectiveUser() ?? userInfo().username}`);
  if (effectiveUser() === 0) return '/run/vdistream';
  const { XDG_RUNTIME_DIR: runtime = '' } = process.env;
  return isAbsolute(runtime) ? join(runtime, 'vdistream') : join(tmpdir(), `vdistream-${effectiveUser()}`);
}

/** For records. It outlives a reboot. */
export function defaultRecordFolder(): string {
  if (effectiveUser() === 0) return '/var/lib/vdistream';
  const { XDG_STATE_HOME: state = '' } = process.env;
  return join(isAbsolute(state) ? state : join(userInfo().homedir, '.local', 'state'), 'vdistream');
}
