/**
 * The plugin's log, in syslog: XAPI discards what a plugin prints. A line is one run of logger(1), which each Dom0 has: Node has no datagram
 * sockets of the Unix domain, and a program that has started logs its line whatever becomes of this process. Without syslog there is no log,
 * and no error.
 */

import { startChild } from '../host/child.ts';
import { printable, quote } from '../quote.ts';

type Severity = 'notice' | 'warning' | 'err';

/** By name; one that is undefined is left out. */
type Facts = Readonly<Record<string, string | number | undefined>>;

export interface CallLog {
  /** Logs that the work starts. */
  start(facts: Facts): void;
  /** For the line that ends the call. */
  add(facts: Facts): void;
}

interface WholeCallLog extends CallLog {
  /** The name of the function, as soon as it is known. */
  called(fn: string): void;
  warn(text: string): void;
  /** A call that succeeds without having started work is not logged. */
  success(): void;
  failure(text: string): void;
}

/** Warnings after these are not logged: an image may cause any number. */
const MAX_WARNINGS = 20;

/** `write` logs one line. No header, token, query or certificate is ever passed to it. */
export function createCallLog(name: string, write: (severity: Severity, line: string) => void): WholeCallLog {
  let fn = name;
  let facts: Facts = {};
  let started = false;
  let warnings = 0;
  const end = (severity: Severity, outcome: string, text?: string): void => {
    // Since the process was started, which is all that the caller waits for.
    const seconds = (performance.now() / 1000).toFixed(1);
    write(severity, line(fn, outcome, { ...facts, seconds }, text));
  };
  return {
    called(given) {
      fn = given;
    },
    start(given) {
      started = true;
      facts = given;
      write('notice', line(fn, 'start', facts));
    },
    add(given) {
      facts = { ...facts, ...given };
    },
    warn(text) {
      if (warnings++ < MAX_WARNINGS) write('warning', line(fn, 'warning', {}, text));
    },
    success: () => started && end('notice', 'success'),
    failure: (text) => end('err', 'failure', text),
  };
}

function line(fn: string, event: string, facts: Facts, text?: string): string {
  const pairs = Object.entries(facts).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${plain(String(value))}`]));
  return `${[fn, event, ...pairs].join(' ')}${text === undefined ? '' : `: ${text}`}`;
}

/** In quotes if it could be taken for several facts. */
const plain = (value: string): string => (/^[\w.:/[\]-]{1,100}$/.test(value) ? value : quote(value));

/** What a line of RFC 3164 can hold, without its header. */
const MAX_LINE = 900;
/** Milliseconds. */
const LOGGER_TIMEOUT = 10_000;

/** A line of syslog. Starts the program before it returns, so that it also works when the process is about to exit. */
export function syslog(tag: string, severity: Severity, text: string): void {
  const safe = printable(text);
  const short = safe.length > MAX_LINE ? `${safe.slice(0, MAX_LINE)}…` : safe;
  startChild('logger', ['-t', `${tag}[${process.pid}]`, '-p', `user.${severity}`, '--', short]).then(
    ({ ended, kill, stdin, stdout, stderr }) => {
      stdin.end();
      stdout.resume();
      stderr.resume();
      const timer = setTimeout(kill, LOGGER_TIMEOUT);
      void ended.then(() => clearTimeout(timer));
    },
    () => {}, // there is no such program, or no memory to start it
  );
}
