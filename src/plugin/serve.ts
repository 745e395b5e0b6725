/**
 * The process of a plugin, as xapi runs it (xen-api: ocaml/xapi/xapi_plugins.ml): one argument in, exactly one document on standard
 * output, exit status 0, whatever happens. Everything else goes to standard error, which xapi does not keep.
 */

import { writeSync } from 'node:fs';
import { VdiStreamError } from '../errors.ts';
import { codeOf } from '../host/errno.ts';
import { readArguments } from './arguments.ts';
import { failureOf } from './failure.ts';
import { createFunctions, type Work, type Workers } from './functions.ts';
import { writePickle } from './pickle-write.ts';
import { type Call, failureDocument, readCall, successDocument } from './xmlrpc.ts';

const NAME = 'vdistream-plugin';

/** Never returns control of the process: it exits when the answer is out. `load` may fail, as on a host where a part is missing. */
export async function serve(argv: readonly string[], load: () => Promise<Workers>): Promise<void> {
  const stop = new AbortController();
  const [argument] = argv;
  let fn = NAME;
  let answered = false;

  const answer = (document: string): void => {
    answered = true;
    print(document);
  };
  const fail = (error: unknown): void => {
    if (answered) return;
    const description = failureOf(fn, error, { argument, reason: stop.signal.reason });
    log(description.slice(1).join(': '));
    answer(failureDocument(description));
  };

  guardStreams();
  listen(stop);
  // Also where the work waits for something that can no longer come, or something else ends the process.
  process.on('exit', () => {
    fail(stop.signal.aborted ? cutShort() : new Error('the work has ended without a result'));
    process.exitCode = 0;
  });
  try {
    const call = readCall(onlyOne(argv));
    fn = call.fn;
    const onWarning: Work['onWarning'] = ({ member, message, code }) =>
      log(`warning: ${member === undefined ? '' : `${member}: `}${message} (${code})`);
    answer(await reply(call, await load(), { signal: stop.signal, onWarning }));
  } catch (error) {
    fail(error);
  }
  // A connection that is kept alive would keep the process, and xapi waiting.
  process.exit(0);
}

async function reply({ fn, members }: Call, workers: Workers, work: Work): Promise<string> {
  const found = createFunctions(workers).get(fn);
  if (found === undefined) return failureDocument(['UNKNOWN_XENAPI_PLUGIN_FUNCTION', fn]);
  const args = readArguments(members, found);
  const value = await found.run(args, work);
  return successDocument(args.form === 'pickle' ? writePickle(value) : JSON.stringify(value));
}

function onlyOne(argv: readonly string[]): string {
  const [argument] = argv;
  if (argument !== undefined && argv.length === 1) return argument;
  throw new VdiStreamError('USAGE', `a plugin of xapi has one argument, the call as XML, and here are ${argv.length}`);
}

/** The first signal, or a mistake that no code has caught, cancels and cleans up. A second signal means now. */
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
  error.left.push('what the clean-up had not reached; `vdistream reap` finds it.');
  return error;
}

function guardStreams(): void {
  // Whatever some library prints must not end up in the document.
  Object.defineProperty(process, 'stdout', { get: () => process.stderr });
  process.stderr.on('error', () => {}); // who would read it may have gone
}

const log = (line: string): void => void process.stderr.write(`${NAME}: ${line}\n`);

/** Synchronously, for it may be the last thing that the process does. */
function print(document: string): void {
  for (let rest = Buffer.from(document); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN') return; // nobody is there any more to be told
    }
  }
}
