/** One run of a command: arguments in, a result on stdout, and an exit status. */

import { rejection } from '../errors.ts';
import { printable } from '../quote.ts';
import type { OnWarning } from '../warnings.ts';
import { ACTIONS, type Outcome } from './actions.ts';
import { COMMANDS, type CommandName } from './commands.ts';
import { errorObject, exitStatusOf, outputErrorObject, outputErrorText } from './error-text.ts';
import { importList, importsMany } from './import-list.ts';
import { importOptions } from './invocation.ts';
import { openLog, type RunEnd, type RunLog } from './log.ts';
import { toStderr, toStdout } from './output.ts';
import { parseCommandLine } from './parse.ts';
import { createReporter } from './reporter.ts';
import { inputsFrom } from './sources.ts';

/** Resolves with the exit status. */
export async function run(name: CommandName, argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { values, sources, target } = parseCommandLine(name, argv);
  const json = values.flag('json');
  const reporter = createReporter({ json, quiet: values.flag('quiet') });
  const logPath = values.text('log');
  let log: RunLog | undefined;
  try {
    log = logPath === undefined ? undefined : openLog(logPath, [name, ...argv], reporter.onWarning);
    const inputs = COMMANDS[name].operands.includes('SRC') ? inputsFrom(sources, values) : [];
    const onProgress = both(reporter.onProgress, log?.onProgress);
    const warn = both(reporter.onWarning, log?.onWarning);
    // Those of the toolstack do not come through an image's collector.
    const onWarning: OnWarning = (warning) => warn({ ...warning, message: printable(warning.message) });
    const call = { values, sources, inputs, target, signal, onProgress, onWarning };
    const ended =
      name === 'import' && importsMany(values)
        ? await importList({ values, argv: [name, ...argv], signal, onProgress, onWarning, clear: reporter.clear }, importOptions(call))
        : await print(await ACTIONS[name](call).finally(reporter.close), json);
    log?.end(ended);
    return ended.status;
  } catch (cause) {
    const error = rejection(cause, signal);
    log?.end({ error: errorObject(error), status: exitStatusOf(error) });
    throw error;
  } finally {
    reporter.close();
  }
}

const both =
  <T>(first: (value: T) => void, second: ((value: T) => void) | undefined) =>
  (value: T): void => {
    first(value);
    second?.(value);
  };

/** A result that could not be printed is a failure: a script would continue without it. */
async function print({ result, stdout = [], stderr = [], failed = false, toImage = false }: Outcome, json: boolean): Promise<RunEnd> {
  if (toImage) {
    toStderr(json ? { json: { result } } : [...stdout, ...stderr]);
    return { result, status: 0 };
  }
  if (!json) toStderr(stderr);
  const error = await toStdout(json ? { json: result } : stdout);
  // A reader that closes the pipe has read enough.
  if (!error || error.code === 'EPIPE') return { result, status: failed ? 1 : 0 };
  toStderr(outputErrorText(error, json));
  return { result, status: 1, error: outputErrorObject(error) };
}
