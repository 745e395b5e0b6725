/**
 * Serve: the plugin's process as xapi runs it (xen-api: ocaml/xapi/xapi_plugins.ml): one argument in, exactly one document on standard
 * output, exit status 0 even after an error. Everything else goes to standard error, which xapi discards.
 */

import { writeSync } from 'node:fs';
import { VdiStreamError } from '../errors.ts';
import { codeOf } from '../host/errno.ts';
import { printable } from '../quote.ts';
import { type Form, readArguments } from './arguments.ts';
import { failureOf } from './failure.ts';
import { createFunctions } from './functions.ts';
import { createCallLog, syslog } from './log.ts';
import type { PickleValue } from './pickle-read.ts';
import { writePickle } from './pickle-write.ts';
import type { Work, Workers } from './work.ts';
import { type Call, failureDocument, readCall, successDocument } from './xmlrpc.ts';

const NAME = 'vdistream-plugin';

/** Answers the call, then exits the process. `load` may fail, for example if a module is missing. */
export async function serve(argv: readonly string[], load: () => Promise<Workers>): Promise<void> {
  const stop = new AbortController();
  const [argument] = argv;
  let fn = NAME;
  let answered = false;
  const log = createCallLog(NAME, (severity, line) => syslog(NAME, severity, line));

  const answer = (document: string): void => {
    answered = true;
    writeDocument(document);
  };
  const fail = (error: unknown): void => {
    if (answered) return;
    const { description, summary } = failureOf(fn, error, { argument, reason: stop.signal.reason });
    print(`${fn}: ${summary}`);
    log.failure(summary);
    answer(failureDocument(description));
  };

  guardStreams();
  listen(stop);
  // Answers even if the event loop runs dry, or something else ends the process.
  process.on('exit', () => {
    fail(stop.signal.aborted ? cutShort() : new Error('the call ended without a result'));
    process.exitCode = 0;
  });
  try {
    const call = readCall(onlyOne(argv));
    fn = call.fn;
    log.called(fn);
    const onWarning: Work['onWarning'] = ({ member, message, code }) => {
      const text = `${member === undefined ? '' : `${member}: `}${message} (${code})`;
      print(`warning: ${text}`);
      log.warn(text);
    };
    const document = await reply(call, await load(), { signal: stop.signal, onWarning, log });
    log.success();
    answer(document);
  } catch (error) {
    fail(error);
  }
  // A keep-alive connection would keep the process running, and xapi waiting.
  process.exit(0);
}

async function reply({ fn, members }: Call, workers: Workers, work: Work): Promise<string> {
  const found = createFunctions(workers).get(fn);
  if (found === undefined) return failureDocument(['UNKNOWN_XENAPI_PLUGIN_FUNCTION', fn]);
  const args = readArguments(members, found);
  const value = await found.run(args, work);
  return successDocument(written(value, args.form));
}

function written(value: PickleValue, form: Form): string {
  if (form === 'pickle') return writePickle(value);
  // Nova's first plugin returned an empty string where there was nothing to return.
  return form === 'flat' && value === null ? '' : JSON.stringify(value);
}

function onlyOne(argv: readonly string[]): string {
  const [argument] = argv;
  if (argument !== undefined && argv.length === 1) return argument;
  throw new VdiStreamError('USAGE', `a xapi plugin expects one argument, the call as XML, but got ${argv.length}`);
}

/** The first signal, or an uncaught error, cancels and cleans up. A second signal exits immediately. */
function listen(stop: AbortController): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit();
      stop.abort(new VdiStreamError('CANCELLED', `cancelled by ${signal}`));
    });
  }
  process.on('uncaughtException', (error) => stop.abort(error));
}

function cutShort(): VdiStreamError {
  const error = new VdiStreamError('CANCELLED', 'cancelled');
  error.left.push('perhaps a VDI, since the clean-up was cut short; `vdistream reap` finds it.');
  return error;
}

function guardStreams(): void {
  // Nothing that a library prints may end up in the document.
  Object.defineProperty(process, 'stdout', { get: () => process.stderr });
  process.stderr.on('error', () => {}); // the reader may be gone
}

/** The only place where text leaves for standard error. */
const print = (line: string): void => void process.stderr.write(`${NAME}: ${printable(line)}\n`);

/** Synchronously, because the process may exit next. Gives up on a reader that has read nothing for a minute. */
function writeDocument(document: string): void {
  const waiting = new Int32Array(new SharedArrayBuffer(4));
  let pauses = 0;
  for (let rest = Buffer.from(document); rest.length > 0 && pauses < MAX_PAUSES; ) {
    try {
      rest = rest.subarray(writeSync(1, rest));
      pauses = 0;
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN') return; // nobody is reading any more
      Atomics.wait(waiting, 0, 0, PAUSE);
      pauses++;
    }
  }
}

/** Milliseconds between attempts to write to a full pipe, and how many of them in a row. */
const PAUSE = 10;
const MAX_PAUSES = 6000;
