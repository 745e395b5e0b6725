#!/usr/bin/env node
/** The command line: arguments in, one result or one error out, and an exit status. */

import { rejection, VdiStreamError } from '../errors.ts';
import { keepYoungSpaceSmall, optimizeLater } from '../host/v8.ts';
import { didYouMean, listed } from '../words.ts';
import { COMMANDS, isCommand } from './commands.ts';
import { completionScript, isShell, SHELLS } from './completion.ts';
import { errorText, exitStatusOf } from './error-text.ts';
import { helpPage, mainPage } from './help.ts';
import { toStderr, toStdout } from './output.ts';
import { run } from './run.ts';
import { versions } from './versions.ts';

optimizeLater();
keepYoungSpaceSmall();

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    toStderr(linesOf(mainPage()));
    return 2;
  }
  const has = (...flags: readonly string[]): boolean => flags.some((flag) => rest.includes(flag));
  const page = pageOf(name, rest[0], has('--help', '-h'));
  if (page !== undefined) {
    await toStdout(linesOf(page));
    return 0;
  }
  const json = has('--json');
  if (name === '--version' || name === '-V') {
    await toStdout(versions(json));
    return 0;
  }
  const stop = new AbortController();
  listenForSignals(stop, json, json || has('--quiet', '-q'));
  try {
    if (name === 'completion') throw unknownShell(rest[0]);
    if (!isCommand(name)) throw unknownCommand(name);
    return await run(name, rest, stop.signal);
  } catch (cause) {
    const error = rejection(cause, stop.signal);
    toStderr(errorText(error, json, argv));
    return exitStatusOf(error);
  }
}

const linesOf = (page: string): string[] => page.replace(/\n$/, '').split('\n');

/** What is only printed: help, a completion script. */
function pageOf(name: string, topic: string | undefined, isHelp: boolean): string | undefined {
  if (name === 'help') return helpPage(topic) ?? mainPage();
  if (name === '--help' || name === '-h') return mainPage();
  if (name === 'completion') return isHelp ? mainPage() : isShell(topic) ? completionScript(topic) : undefined;
  return isHelp ? helpPage(isCommand(name) ? name : undefined) : undefined;
}

function unknownCommand(name: string): VdiStreamError {
  const hint = didYouMean(name, [...Object.keys(COMMANDS), 'help', 'completion']);
  return new VdiStreamError('USAGE', `there is no command "${name}"${hint}`);
}

function unknownShell(name = ''): VdiStreamError {
  const given = name === '' ? '' : `, not "${name}"${didYouMean(name, SHELLS)}`;
  return new VdiStreamError('USAGE', `completion needs the name of a shell: ${listed(SHELLS)}${given}`);
}

const SECOND_SIGNAL = 'a second signal ended it without cleaning up; `vdistream reap` removes what an import left behind';

/** Cleaning up can wait for a toolstack command or a slow disk. Somebody who sees nothing happen would send the second signal. */
const CLEANING_UP = 'vdistream: cancelled, cleaning up; a second signal ends it now and cleans up nothing';
const SILENT_CLEANUP_MS = 1000;

/** The first signal cancels and cleans up; the second ends the process immediately. */
function listenForSignals(stop: AbortController, json: boolean, quiet: boolean): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) {
        // After the progress bar has restored the terminal.
        process.once('exit', () => toStderr(errorText(new VdiStreamError('CANCELLED', SECOND_SIGNAL), json)));
        process.exit(130);
      }
      stop.abort(new Error(signal));
      if (!quiet) setTimeout(() => toStderr([CLEANING_UP]), SILENT_CLEANUP_MS).unref();
    });
  }
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `vdistream info … | head -1`; print() handles other errors. What export writes there is an image, and has to be complete. An import of
  // many prints while others run, which must not end without cleaning up.
  if (error.code === 'EPIPE' && process.argv[2] !== 'export' && process.argv[2] !== 'import') process.exit(0);
});
// The reader of stderr may go away; the write continues and cleans up.
process.stderr.on('error', () => {});
process.exitCode = await main(process.argv.slice(2));
// Standard input may still be open, and would keep the process alive.
process.stdin.unref?.();
