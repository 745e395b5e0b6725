/** From arguments to the values of options and the operands of a command. Throws USAGE. */

import { parseArgs } from 'node:util';
import { messageOf, VdiStreamError } from '../errors.ts';
import { didYouMean } from '../words.ts';
import { COMMANDS, type CommandName } from './commands.ts';
import { allOptions, type FlagName, type ListName, optionsOf, type TextName } from './options.ts';

/** What was given on the command line. */
export interface Values {
  flag(name: FlagName): boolean;
  text(name: TextName): string | undefined;
  list(name: ListName): readonly string[];
}

interface CommandLine {
  readonly values: Values;
  /** Several are a chain, leaf first. */
  readonly sources: readonly string[];
  /** Empty if the command has none. */
  readonly target: string;
}

export function parseCommandLine(command: CommandName, argv: readonly string[]): CommandLine {
  const options = Object.fromEntries(
    optionsOf(command).map(({ name, short, argument, repeatable = false }) => [
      name,
      { type: argument === undefined ? ('boolean' as const) : ('string' as const), multiple: repeatable, ...(short && { short }) },
    ]),
  );
  const config = { args: [...argv], options, allowPositionals: true };
  for (const token of parseArgs({ ...config, strict: false, tokens: true }).tokens) {
    if (token.kind !== 'option') continue;
    if (!Object.hasOwn(options, token.name)) throw unknownOption(command, token.name, token.rawName);
    // An empty one comes from an unset variable of a script.
    if (token.value === '') throw noValue(token.rawName);
  }
  const { values, positionals } = parseStrictly(config);
  const given = (name: string): unknown => values[name];
  const isText = (value: unknown): value is string => typeof value === 'string';
  return {
    values: {
      flag: (name) => given(name) === true,
      text: (name) => [given(name)].find(isText),
      list: (name) => [given(name)].flat().filter(isText),
    },
    ...operandsOf(command, positionals, given('list') !== undefined),
  };
}

function parseStrictly(config: NonNullable<Parameters<typeof parseArgs>[0]>): {
  readonly values: Readonly<Record<string, unknown>>;
  readonly positionals: readonly string[];
} {
  try {
    return parseArgs({ ...config, strict: true });
  } catch (cause) {
    // Nothing follows it, or another option, as with an unset variable that is not quoted.
    const [, option] = /^Option '(?:-\w, )?(--[\w-]+).*' argument (?:missing|is ambiguous)/.exec(messageOf(cause)) ?? [];
    if (option !== undefined) throw noValue(option);
    // The first sentence says what is wrong; what follows explains the syntax of options.
    throw new VdiStreamError('USAGE', cause instanceof Error ? (cause.message.split(/[.\n]/)[0] ?? '') : String(cause));
  }
}

const noValue = (option: string): VdiStreamError => new VdiStreamError('USAGE', `${option} has no value`);

function unknownOption(command: CommandName, name: string, rawName: string): VdiStreamError {
  const elsewhere = allOptions().find((option) => option.name === name)?.commands;
  const names = optionsOf(command).map((option) => `--${option.name}`);
  const hint = elsewhere === undefined ? didYouMean(rawName, names) : `; it belongs to ${elsewhere.join(', ')}`;
  return new VdiStreamError('USAGE', `Unknown option '${rawName}' of ${command}${hint}`);
}

/** `isList`: the images are in a list. */
function operandsOf(command: CommandName, given: readonly string[], isList: boolean): Pick<CommandLine, 'sources' | 'target'> {
  const operands = isList ? [] : COMMANDS[command].operands;
  const [unexpected] = given;
  if (operands.length === 0) {
    if (unexpected !== undefined)
      throw new VdiStreamError('USAGE', `${command}${isList ? ' --list' : ''} accepts no operand, but got "${unexpected}"`);
    return { sources: [], target: '' };
  }
  // An empty one comes from an unset variable of a script.
  const empty = given.at(-1) === '' ? operands.at(-1) : given.includes('') ? operands[0] : undefined;
  const missing = operands[given.length] ?? empty;
  if (missing !== undefined) throw new VdiStreamError('USAGE', `${missing} is missing`);
  return operands.includes('TARGET') ? { sources: given.slice(0, -1), target: given.at(-1) ?? '' } : { sources: given, target: '' };
}
