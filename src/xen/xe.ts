/**
 * xe: the toolstack's command line, one process per command, without a shell or the caller's environment. A command that does not finish in
 * time is killed.
 */

import { messageOf, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { type Child, startChild } from '../host/child.ts';
import { codeOf } from '../host/errno.ts';
import { COMMAND_TIMEOUT } from './toolstack.ts';
import { splitMinimal } from './xe-output.ts';
import { commandError } from './xe-words.ts';

export interface XeOptions {
  /** The program; `xe` on the PATH by default. */
  readonly program?: string | undefined;
  /** Milliseconds per command; 5 minutes by default, as the storage manager alone retries for up to two. */
  readonly timeout?: number | undefined;
  /** Milliseconds a running command has left to finish after a cancel; 10 s by default. */
  readonly grace?: number | undefined;
  /** Milliseconds between two attempts to unplug; 1 s by default. */
  readonly pause?: number | undefined;
  /** The file with the uuids of this host and its control domain; /etc/xensource-inventory by default. */
  readonly inventory?: string | undefined;
  /** A folder for the locks of this host's imports and exports, with mode 0700; /run/vdistream by default, for root. */
  readonly locks?: string | undefined;
  /** A folder for the records of unfinished imports and exports, with mode 0700; /var/lib/vdistream by default, for root. */
  readonly records?: string | undefined;
}

type Parameters = Readonly<Record<string, string | number>>;

export interface Xe {
  /**
   * Runs a command and resolves with its output, without the final newline. Throws XE_TIMEOUT and XE_CONNECTION, after which the command
   * may or may not have taken effect; the error for a refusal by the toolstack; USAGE for a value with control characters; CANCELLED if
   * the signal has fired before the command starts.
   */
  run(command: string, parameters: Parameters, signal?: AbortSignal): Promise<string>;
  /** Runs a list command with `--minimal` and resolves with its values. */
  list(command: string, parameters: Parameters, signal?: AbortSignal): Promise<string[]>;
}

const MAX_OUTPUT = 4 * 1024 * 1024;
/** The longest delay for setTimeout; it turns a longer one into 1 ms. */
const MAX_TIMEOUT = 2 ** 31 - 1;

/** Times in milliseconds. */
interface Running {
  readonly program: string;
  readonly timeout: number;
  readonly grace: number;
}

export function createXe({ program = 'xe', timeout = COMMAND_TIMEOUT, grace = 10_000 }: XeOptions = {}): Xe {
  const running = { program, timeout, grace };
  const run = async (command: string, flag: string, parameters: Parameters, signal?: AbortSignal): Promise<string> =>
    runCommand(running, command, [flag, ...Object.entries(parameters).map(argument)], signal);
  return {
    // --trace makes xe print the error code. Old list commands would treat it as a filter.
    run: (command, parameters, signal) => run(command, '--trace', parameters, signal),
    list: async (command, parameters, signal) => splitMinimal(await run(command, '--minimal', parameters, signal)),
  };
}

/** xe joins its arguments with newlines, so a newline in a value would start another argument. */
function argument([key, value]: [string, string | number]): string {
  const text = `${key}=${value}`;
  const isControl = (character: string): boolean => character < ' ' || character === '\x7f';
  if ([...text].some(isControl)) throw new VdiStreamError('USAGE', `the ${key} of an xe command has a control character`);
  return text;
}

async function runCommand(
  { program, timeout, grace }: Running,
  command: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string> {
  throwIfCancelled(signal);
  const child = await start(program, [command, ...args]);
  let isLate = false;
  const kill = (): void => {
    isLate = true;
    child.kill();
    // A grandchild could still hold the pipes open.
    child.stdout.destroy();
    child.stderr.destroy();
  };
  let timer = setTimeout(kill, Math.min(timeout, MAX_TIMEOUT));
  const startGrace = (): void => {
    clearTimeout(timer);
    timer = setTimeout(kill, Math.min(grace, timeout, MAX_TIMEOUT));
  };
  if (signal?.aborted) startGrace();
  signal?.addEventListener('abort', startGrace, { once: true });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] = (output[stream] + text).slice(0, MAX_OUTPUT + 1);
    });
  }
  const { status, killedBy } = await child.ended;
  clearTimeout(timer);
  signal?.removeEventListener('abort', startGrace);
  if (isLate) {
    const reason = signal?.aborted ? 'did not finish after it was cancelled' : `did not finish within ${timeout / 1000} s`;
    throw new VdiStreamError('XE_TIMEOUT', `xe ${command} ${reason}`);
  }
  if (killedBy !== null) throw new VdiStreamError('XE_CONNECTION', `xe ${command} was killed by ${killedBy}`);
  if (status !== 0) throw commandError(command, output.stderr || output.stdout);
  // A truncated list would pass for a complete one, and whatever is missing for absent.
  if (output.stdout.length > MAX_OUTPUT) throw new VdiStreamError('XE_FAILED', `xe ${command} printed more than 4 MiB`);
  return output.stdout.replace(/\r?\n$/, '');
}

/** Ctrl-C does not reach the command, which may be part of the clean-up: a child has a process group of its own. */
async function start(program: string, args: readonly string[]): Promise<Child> {
  try {
    const child = await startChild(program, args);
    child.stdin.end();
    return child;
  } catch (cause) {
    throw startError(program, cause);
  }
}

/** XE_MISSING only if the program is missing, not for a lack of memory or descriptors, or arguments that are too long. */
function startError(program: string, cause: unknown): VdiStreamError {
  const isMissing = ['ENOENT', 'EACCES'].includes(codeOf(cause));
  const reason = messageOf(cause);
  return new VdiStreamError(isMissing ? 'XE_MISSING' : 'XE_FAILED', `cannot run ${program}: ${reason}`, { cause });
}
