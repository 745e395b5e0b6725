/** One run of a command: arguments in, a result on stdout, and an exit status. */

import { ACTIONS, importOptions, type Outcome } from './actions.ts';
import { COMMANDS, type CommandName } from './commands.ts';
import { outputErrorText } from './error-text.ts';
import { importList, importsMany } from './import-list.ts';
import { toStderr, toStdout } from './output.ts';
import { parseCommandLine } from './parse.ts';
import { createReporter } from './reporter.ts';
import { inputsFrom } from './sources.ts';

/** Resolves with the exit status. */
export async function run(name: CommandName, argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { values, sources, target } = parseCommandLine(name, argv);
  const inputs = COMMANDS[name].operands.includes('SRC') ? inputsFrom(sources, values) : [];
  const json = values.flag('json');
  const isMany = name === 'import' && importsMany(values);
  const { onProgress, onWarning, clear, close } = createReporter({ json, quiet: values.flag('quiet') });
  const call = { values, sources, inputs, target, signal, onProgress, onWarning };
  if (isMany)
    return importList({ values, argv: [name, ...argv], signal, onProgress, onWarning, clear }, importOptions(call)).finally(close);
  return print(await ACTIONS[name](call).finally(close), json);
}

/** A result that could not be printed is a failure: a script would continue without it. */
async function print({ result, stdout = [], stderr = [], failed = false, toImage = false }: Outcome, json: boolean): Promise<0 | 1> {
  if (toImage) {
    toStderr(json ? { json: { result } } : [...stdout, ...stderr]);
    return 0;
  }
  if (!json) toStderr(stderr);
  const error = await toStdout(json ? { json: result } : stdout);
  // A reader that closes the pipe has read enough.
  if (!error || error.code === 'EPIPE') return failed ? 1 : 0;
  toStderr(outputErrorText(error, json));
  return 1;
}
