/**
 * The log of a run: JSON lines in a file, for whoever looks for the cause of a failure afterwards. Each line has the time, the process, and
 * what `--json` prints on stderr: `progress`, `warning` or `error`; besides `start`, `phase`, and the `result` or the `error` with the
 * exit status. No header, token or query of a URL is in it.
 */

import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync, writeSync } from 'node:fs';
import type { OnProgress } from '../engine/progress.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import { errnoOf } from '../host/errno.ts';
import { redactWord } from '../http/url.ts';
import { printableJson } from '../quote.ts';
import type { OnWarning } from '../warnings.ts';
import { createPacer } from './pace.ts';
import { versionFacts } from './versions.ts';

export interface RunLog {
  readonly onProgress: OnProgress;
  readonly onWarning: OnWarning;
  /** The last line. */
  end(ending: RunEnd): void;
}

/** How a run ended. */
export interface RunEnd {
  readonly result?: object | undefined;
  readonly error?: object | undefined;
  /** The exit status. */
  readonly status: number;
}

/** Milliseconds. */
const PROGRESS_EVERY = 10_000;

/** `command`: the words after the name of the program. A line that cannot be written is a warning, once. Throws LOG_FILE. */
export function openLog(path: string, command: readonly string[], onWarning: OnWarning): RunLog {
  const write = lineWriter(path, openFile(path), onWarning);
  const words = ['vdistream', ...command].map(redactWord);
  write({ start: { command: words, folder: process.cwd(), ...versionFacts() } });
  const pacer = createPacer();
  const timer = setInterval(() => {
    const pace = pacer.now();
    if (pace !== undefined) write({ progress: { ...pace.progress, seconds: pace.seconds, idle: pace.idle } });
  }, PROGRESS_EVERY);
  timer.unref();
  const end = ({ result, error, status }: RunEnd): void => {
    clearInterval(timer);
    process.off('exit', onExit);
    write({ result, error, status });
  };
  // A second signal, or an error that nobody catches, ends the process where it is.
  const onExit = (status: number): void => end({ status, error: { code: status === 130 ? 'CANCELLED' : 'DEFECT', message: UNFINISHED } });
  process.once('exit', onExit);
  let phase: string | undefined;
  return {
    end,
    onWarning: (warning) => write({ warning }),
    onProgress(progress) {
      pacer.update(progress);
      if (progress.phase === phase) return;
      phase = progress.phase;
      write({ phase });
    },
  };
}

const UNFINISHED = 'the process ended without finishing the work or cleaning up';

/** Each line is one write, which the kernel appends as a whole, so that several runs can share a file. */
function lineWriter(path: string, fd: number, onWarning: OnWarning): (facts: object) => void {
  let torn = lacksNewline(fd);
  let hasFailed = false;
  return (facts) => {
    const line = printableJson({ time: new Date().toISOString(), pid: process.pid, ...facts });
    const bytes = Buffer.from(`${torn ? '\n' : ''}${line}\n`);
    try {
      const written = writeSync(fd, bytes);
      torn = written < bytes.length;
      if (torn) throw new Error(`only ${written} of ${bytes.length} bytes were written`);
    } catch (error) {
      if (!hasFailed) onWarning({ code: 'LOG_WRITE', message: `the log ${path} cannot be written: ${messageOf(error)}` });
      hasFailed = true;
    }
  };
}

/** Only a regular file that is empty or a log: the path may be a slip of an operand, an image or a device. */
function openFile(path: string): number {
  const refuse = (reason: string, cause?: unknown): VdiStreamError =>
    new VdiStreamError('LOG_FILE', `cannot log to ${path}: ${reason}`, { errno: errnoOf(cause), cause });
  let fd: number;
  try {
    // Before it is opened, which could wait for the reader of a pipe, or rewind a tape.
    const found: Stats | undefined = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined && !found.isFile()) throw refuse('it is not a regular file');
    fd = openSync(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK, 0o600);
  } catch (cause) {
    throw cause instanceof VdiStreamError ? cause : refuse(messageOf(cause), cause);
  }
  if (isLog(fd)) return fd;
  closeSync(fd);
  throw refuse('it has another content than a log of vdistream');
}

const FIRST = '{"time":"';

function isLog(fd: number): boolean {
  const front = Buffer.alloc(FIRST.length);
  const count = readSync(fd, front, 0, front.length, 0);
  return front.toString('latin1', 0, count) === FIRST.slice(0, count);
}

/** Whether an earlier run could not write all of its last line. */
function lacksNewline(fd: number): boolean {
  const { size } = fstatSync(fd);
  const last = Buffer.alloc(1);
  return size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last.toString() !== '\n';
}
