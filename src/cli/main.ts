#!/usr/bin/env node
/** The command line: arguments in, one result or one error story out, and an exit status. */

import { setFlagsFromString } from 'node:v8';
import { cancelledOr, VdiStreamError } from '../errors.ts';
import { VERSION } from '../version.ts';
import { COMMANDS, type Command } from './commands.ts';
import { HELP } from './help.ts';
import { story } from './story.ts';

/**
 * V8 compiles what has run a while once more, optimised, on threads of its own. A run of this program is over before that
 * pays: copying is native code and the kernel's, and those threads take the cores from it. Eight times the usual budget
 * leaves the loops over a million table entries optimised all the same (bench: 0.2 to 0.3 s of CPU less).
 */
setFlagsFromString('--interrupt-budget=1000000');

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    process.stderr.write(HELP.main);
    return 2;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(name === 'help' && isPage(rest[0]) ? HELP[rest[0]] : HELP.main);
    return 0;
  }
  if (name === '--version' || name === '-V') {
    process.stdout.write(`vdistream ${VERSION}\n`);
    return 0;
  }
  const has = (...flags: readonly string[]): boolean => flags.some((flag) => rest.includes(flag));
  const json = has('--json');
  const stop = new AbortController();
  listenForSignals(stop, json, json || has('--quiet', '-q'));
  try {
    const command: Command | undefined = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) throw new VdiStreamError('USAGE', `there is no command "${name}"`);
    if (has('--help', '-h')) {
      process.stdout.write(command.help);
      return 0;
    }
    return await command.run(rest, stop.signal);
  } catch (error) {
    const told = cancelledOr(error, stop.signal);
    process.stderr.write(story(told, json));
    return told instanceof VdiStreamError ? told.exitCode : 1;
  }
}

const AT_ONCE = 'ended at once by a second signal, without cleaning up; `vdistream reap` removes what an import has left';

const isPage = (name: string | undefined): name is keyof typeof HELP => name !== undefined && Object.hasOwn(HELP, name);

/** Cleaning up takes a command of the toolstack, or a slow disk, now and then; who sees nothing happen would send the second signal. */
const CLEANING = 'vdistream: cancelled, and cleaning up; a second signal ends it at once, and leaves what is there\n';
const PATIENCE = 1000;

/** The first signal cancels and cleans up; a second one means now. */
function listenForSignals(stop: AbortController, json: boolean, quiet: boolean): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) {
        // Behind what leaves the terminal clean.
        process.once('exit', () => process.stderr.write(story(new VdiStreamError('CANCELLED', AT_ONCE), json)));
        process.exit(130);
      }
      stop.abort(new Error(signal));
      if (!quiet) setTimeout(() => process.stderr.write(CLEANING), PATIENCE).unref();
    });
  }
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0); // `vdistream info … | head -1`; of another, whoever prints is told
});
// Who watches the progress may leave; the write goes on and cleans up.
process.stderr.on('error', () => {});
process.exitCode = await main(process.argv.slice(2));
// Standard input may still be open, and would keep the process.
process.stdin.unref?.();
