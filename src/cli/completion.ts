/** Completion scripts for bash, zsh and fish, made from the tables of commands and options. */

import { COMMAND_NAMES, COMMANDS, type CommandName } from './commands.ts';
import { optionSentence } from './help.ts';
import { type NamedOption, optionsOf } from './options.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

const SCRIPTS: Readonly<Record<Shell, () => string>> = { bash: bashScript, zsh: zshScript, fish: fishScript };

export const isShell = (name: string | undefined): name is Shell => SHELLS.some((shell) => shell === name);

export const completionScript = (shell: Shell): string => SCRIPTS[shell]();

const TOPICS = [...COMMAND_NAMES, 'sources', 'many', 'pool'].join(' ');
const SHELL_NAMES = SHELLS.join(' ');
const OTHERS = [
  ['help', 'show the help of a command'],
  ['completion', 'print a completion script'],
] as const;

const readsImage = (command: CommandName): boolean => COMMANDS[command].operands.includes('SRC');

interface OptionUse {
  readonly option: NamedOption;
  readonly commands: CommandName[];
}

/** The options of all commands; those that are alike in several commands come once, with the names of these. */
function optionUses(): OptionUse[] {
  const uses = new Map<string, OptionUse>();
  for (const command of COMMAND_NAMES) {
    for (const option of optionsOf(command)) {
      const key = `${option.name} ${optionSentence(option)}`;
      const use = uses.get(key) ?? { option, commands: [] };
      use.commands.push(command);
      uses.set(key, use);
    }
  }
  return [...uses.values()];
}

/** How bash completes the value of an option. */
function bashStep({ values, path }: NamedOption): string {
  if (values !== undefined) return `words='${values.join(' ')}'`;
  return path === undefined ? 'return' : `paths=-${path === 'file' ? 'f' : 'd'}`;
}

function bashScript(): string {
  const uses = optionUses().filter(({ option }) => option.argument !== undefined);
  const valueCases = uses.map((use) => {
    const { name } = use.option;
    const isSameEverywhere = uses.every(({ option }) => option.name !== name || bashStep(option) === bashStep(use.option));
    const patterns = isSameEverywhere ? [`*:--${name}`] : use.commands.map((command) => `${command}:--${name}`);
    return `    ${patterns.join(' | ')}) ${bashStep(use.option)} ;;`;
  });
  const flags = (command: CommandName): string =>
    [...optionsOf(command).flatMap(({ name, short }) => [`--${name}`, ...(short ? [`-${short}`] : [])]), '--help'].join(' ');
  return `# bash completion for vdistream

_vdistream() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} command=\${COMP_WORDS[1]} words='' paths=''
  # bash splits --option=value at the equals sign.
  if [[ $current == = ]]; then
    current=''
  elif [[ $previous == = ]]; then
    previous=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  if ((COMP_CWORD == 1)); then
    command=''
  fi
  case $command:$previous in
${[...new Set(valueCases)].join('\n')}
    :*) words='${[...COMMAND_NAMES, ...OTHERS.map(([name]) => name), '--help', '--version'].join(' ')}' ;;
    help:*) words='${TOPICS}' ;;
    completion:*) words='${SHELL_NAMES}' ;;
${COMMAND_NAMES.map((command) => `    ${command}:*) words='${flags(command)}'${readsImage(command) ? ' paths=-f' : ''} ;;`).join('\n')}
  esac
  if [[ -n $paths && ($current != -* || -z $words) ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$paths" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}

complete -F _vdistream vdistream
`;
}

/** A word for a shell, in single quotes. */
const zshQuoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const fishQuoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

function zshScript(): string {
  const specOf = (option: NamedOption): string => {
    const { name, short, argument, values, path, repeatable } = option;
    const sentence = `[${option.sentence.replaceAll(/[[\]\\]/g, '\\$&')}]`;
    const files = path === 'folder' ? '_files -/' : path === 'file' ? '_files' : ' ';
    const value = argument === undefined ? '' : `:${argument}:${values ? `(${values.join(' ')})` : files}`;
    const equals = argument === undefined ? '' : '=';
    if (short) return `'(-${short} --${name})'{-${short},--${name}}${zshQuoted(sentence)}`;
    return zshQuoted(`${repeatable ? '*' : ''}--${name}${equals}${sentence}${value}`);
  };
  const cases = COMMAND_NAMES.map((command) => {
    const specs = [...optionsOf(command).map(specOf), `'(- *)'{-h,--help}'[show help]'`];
    const operands = readsImage(command) ? [`'*:${COMMANDS[command].operands.join(' or ')}:_files'`] : [];
    return `        ${command})\n          _arguments -s \\\n            ${[...specs, ...operands].join(' \\\n            ')}\n          ;;`;
  });
  const described = [...COMMAND_NAMES.map((name) => [name, COMMANDS[name].summary] as const), ...OTHERS];
  return `#compdef vdistream
# zsh completion for vdistream

_vdistream() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C \\
    '(- *)'{-h,--help}'[show help]' \\
    '(- *)'{-V,--version}'[show the version]' \\
    '1: :->command' \\
    '*:: :->argument' && return
  case $state in
    command)
      local -a commands=(
${described.map(([name, summary]) => `        ${zshQuoted(`${name}:${summary}`)}`).join('\n')}
      )
      _describe command commands
      ;;
    argument)
      case $words[1] in
${cases.join('\n')}
        help) _arguments '1:topic:(${TOPICS})' ;;
        completion) _arguments '1:shell:(${SHELL_NAMES})' ;;
      esac
      ;;
  esac
}

if [[ $funcstack[1] == _vdistream ]]; then
  _vdistream "$@"
else
  compdef _vdistream vdistream
fi
`;
}

function fishScript(): string {
  const line = (...words: readonly string[]): string => ['complete -c vdistream', ...words].join(' ');
  const within = (commands: readonly string[]): string => `-n '__fish_seen_subcommand_from ${commands.join(' ')}'`;
  const described = [...COMMAND_NAMES.map((name) => [name, COMMANDS[name].summary] as const), ...OTHERS];
  const optionLine = ({ option, commands }: OptionUse): string => {
    const { name, short, argument, values, path } = option;
    const files = path === 'folder' ? `-x -a '(__fish_complete_directories)'` : path === 'file' ? '-r -F' : '-x';
    const value = argument === undefined ? '' : values ? `-x -a '${values.join(' ')}'` : files;
    const flags = [`-l ${name}`, ...(short ? [`-s ${short}`] : []), ...(value ? [value] : [])];
    return line(within(commands), ...flags, `-d ${fishQuoted(option.sentence)}`);
  };
  return `# fish completion for vdistream

${line('-f')}
${line('-s h -l help', `-d 'show help'`)}
${line('-n __fish_use_subcommand', '-s V -l version', `-d 'show the version'`)}
${described.map(([name, summary]) => line('-n __fish_use_subcommand', `-a ${name}`, `-d ${fishQuoted(summary)}`)).join('\n')}
${line(within(['help']), `-a '${TOPICS}'`)}
${line(within(['completion']), `-a '${SHELL_NAMES}'`)}
${line(within(COMMAND_NAMES.filter(readsImage)), '-F')}
${optionUses().map(optionLine).join('\n')}
`;
}
