/**
 * xe: the toolstack's command line, one process per command. No shell, no environment of the caller's, and a limit on time: a command that
 * does not come back is killed.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { messageOf, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { codeOf } from '../host/errno.ts';
import { splitMinimal } from './xe-output.ts';
import { commandError } from './xe-words.ts';

export interface XeOptions {
  /** The program; `xe` on the PATH by default. */
  readonly program?: string | undefined;
  /** Milliseconds for one command, 5 minutes by default: the storage manager alone retries for up to two. */
  readonly timeout?: number | undefined;
  /** Milliseconds that a running command still gets once the caller has been cancelled; 10 s by default. */
  readonly grace?: number | undefined;
  /** Milliseconds between two attempts to detach; 1 s by default. */
  readonly pause?: number | undefined;
  /** The file that has the uuids of this host and its control domain; /etc/xensource-inventory by default. */
  readonly inventory?: string | undefined;
}

type Parameters = Readonly<Record<string, string | number>>;

export interface Xe {
  /**
   * Runs a command and gives what it printed, without the newline at the end. Throws XE_TIMEOUT and XE_CONNECTION, after which the
   * command may have been carried out or not; what the toolstack refuses, by its code; USAGE for a value with control characters;
   * CANCELLED if the signal has fired before it is sent.
   */
  run(command: string, parameters: Parameters, signal?: AbortSignal): Promise<string>;
  /** The values that a list command prints with `--minimal`. */
  list(command: string, parameters: Parameters, signal?: AbortSignal): Promise<string[]>;
}

const MAX_OUTPUT = 4 * 1024 * 1024;
/** The longest delay that setTimeout takes; a longer one would end after a millisecond. */
const MAX_TIMEOUT = 2 ** 31 - 1;

/** How commands are run. Times in milliseconds. */
interface Running {
  readonly program: string;
  readonly timeout: number;
  readonly grace: number;
}

export function createXe({ program = 'xe', timeout = 300_000, grace = 10_000 }: XeOptions = {}): Xe {
  const running = { program, timeout, grace };
  const run = async (command: string, flag: string, parameters: Parameters, signal?: AbortSignal): Promise<string> =>
    runCommand(running, command, [flag, ...Object.entries(parameters).map(argument)], signal);
  return {
    // Without a trace, words alone say what went wrong. Old list commands take the flag for a filter.
    run: (command, parameters, signal) => run(command, '--trace', parameters, signal),
    list: async (command, parameters, signal) => splitMinimal(await run(command, '--minimal', parameters, signal)),
  };
}

/** The client joins its arguments with newlines, so that one in a value would be an argument of its own. */
function argument([key, value]: [string, string | number]): string {
  const text = `${key}=${value}`;
  const isControl = (character: string): boolean => character < ' ' || character === '\x7f';
  if ([...text].some(isControl)) throw new VdiStreamError('USAGE', `the ${key} of an xe command has a control character in it`);
  return text;
}

function runCommand(
  { program, timeout, grace }: Running,
  command: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string> {
  throwIfCancelled(signal);
  const child = start(program, [command, ...args]);
  let isLate = false;
  const kill = (): void => {
    isLate = true;
    child.kill('SIGKILL');
    // A child of its own could still hold the pipes.
    child.stdout?.destroy();
    child.stderr?.destroy();
  };
  let timer = setTimeout(kill, Math.min(timeout, MAX_TIMEOUT));
  const startGrace = (): void => {
    clearTimeout(timer);
    timer = setTimeout(kill, Math.min(grace, timeout, MAX_TIMEOUT));
  };
  signal?.addEventListener('abort', startGrace, { once: true });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      output[stream] = (output[stream] + text).slice(0, MAX_OUTPUT + 1);
    });
  }
  return new Promise<string>((resolve, reject) => {
    child.once('error', (cause) => reject(startError(program, cause)));
    child.once('close', (status, killedBy) => {
      if (isLate) {
        const reason = signal?.aborted ? 'was not done when it was cancelled' : `was not done after ${timeout / 1000} s`;
        reject(new VdiStreamError('XE_TIMEOUT', `xe ${command} ${reason}`));
      } else if (killedBy !== null) reject(new VdiStreamError('XE_CONNECTION', `xe ${command} was ended by ${killedBy}`));
      else if (status !== 0) reject(commandError(command, output.stderr || output.stdout));
      // Half an answer would pass for a whole one, and what is not in it for what is not there.
      else if (output.stdout.length > MAX_OUTPUT) reject(new VdiStreamError('XE_FAILED', `xe ${command} printed more than 4 MiB`));
      else resolve(output.stdout.replace(/\r?\n$/, ''));
    });
  }).finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', startGrace);
  });
}

/** The child has no streams if there was no room for them: an `error` follows. */
function start(program: string, args: readonly string[]): ChildProcess {
  try {
    return spawn(program, args, {
      // Without HOME and XE_EXTRA_ARGS it neither goes to another host nor under another name.
      env: { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['ignore', 'pipe', 'pipe'],
      // Ctrl-C on the terminal is for us: the command may be the very one that cleans up.
      detached: true,
    });
  } catch (cause) {
    throw startError(program, cause);
  }
}

/** Want of memory or descriptors, or arguments that are too long, do not mean that the program is missing. */
function startError(program: string, cause: unknown): VdiStreamError {
  const isMissing = ['ENOENT', 'EACCES'].includes(codeOf(cause));
  const reason = messageOf(cause);
  return new VdiStreamError(isMissing ? 'XE_MISSING' : 'XE_FAILED', `cannot run ${program}: ${reason}`, { cause });
}
