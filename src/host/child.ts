/** Child: another program, started without a shell or the caller's environment. The only file that starts processes. */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { basename, delimiter, extname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { systemError } from './system-error.ts';

interface Ended {
  /** The exit status; null if a signal ended it. */
  readonly status: number | null;
  readonly killedBy: NodeJS.Signals | null;
}

export interface Child {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves once the program has exited and its output has been read or destroyed. Never rejects. */
  readonly ended: Promise<Ended>;
  /** Ends it with SIGKILL. */
  kill(): void;
}

/**
 * Rejects with the system's error if the program cannot be started. Node reports that in three ways: it throws for ENOMEM and E2BIG; for
 * EMFILE and ENFILE it emits `error` on an object without streams; for ENOENT, EACCES and EAGAIN on one with streams.
 */
export async function startChild(program: string, args: readonly string[]): Promise<Child> {
  // On Windows, a detached child would open a window.
  const child = spawn(located(program), args, { env: environment(), stdio: ['pipe', 'pipe', 'pipe'], detached: true, windowsHide: true });
  if (child.pid === undefined) {
    throw await new Promise((resolve) => {
      child.once('error', resolve);
    });
  }
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (status, killedBy) => resolve({ status, killedBy }));
  });
  ignoreErrors(child);
  return { stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, ended, kill: () => child.kill('SIGKILL') };
}

/** The path of the program that `startChild` would start; undefined if there is none on the PATH. */
export const findProgram = (program: string): string | undefined =>
  searchPath()
    .split(delimiter)
    .flatMap((folder) => fileNames(program).map((name) => join(folder, name)))
    .find(isExecutable);

const onWindows = (): boolean => process.platform === 'win32';

/** On Windows, the files that libuv can start without a shell. */
function fileNames(program: string): readonly string[] {
  if (!onWindows()) return [program];
  const withEnding = [`${program}.com`, `${program}.exe`];
  return extname(program) === '' ? withEnding : [program, ...withEnding];
}

/** Windows would look into the current folder first, where anybody may have left a program of that name. Throws ENOENT. */
function located(program: string): string {
  if (!onWindows() || basename(program) !== program) return program;
  const path = findProgram(program);
  if (path === undefined) throw systemError('ENOENT', `spawn ${program}`);
  return path;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * All that a child gets. PATH finds it; LC_ALL keeps its messages in the language that the callers parse. Without HOME and XE_EXTRA_ARGS, xe
 * cannot log in to another host or as another user; without XZ_OPT and its like, the limits of decompression stay as they are; and no child
 * needs the caller's secrets, such as OS_TOKEN.
 */
const environment = (): NodeJS.ProcessEnv => ({ PATH: searchPath(), LC_ALL: 'C' });

const searchPath = (): string => process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * An `error` that nobody listens for would end this process. Whatever it was, the child's exit status follows: EPIPE, for one, means that
 * the program exited early. A reader of the streams sees their errors anyway.
 */
function ignoreErrors(child: ChildProcessWithoutNullStreams): void {
  for (const emitter of [child, child.stdin, child.stdout, child.stderr]) emitter.on('error', () => {});
}
