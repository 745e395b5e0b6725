/** What --help prints, made from the tables of commands and options; each page fits a screen. */

import { listed } from '../words.ts';
import { COMMANDS, type Command, type CommandName, type ExitStatus, isCommand } from './commands.ts';
import { allOptions, type NamedOption, optionsOf } from './options.ts';

const SRC = 'SRC is a file, - (standard input), a URL or glance:ID: see `vdistream help sources`.';

/** Undefined if there is no such page. */
export function helpPage(name: string | undefined): string | undefined {
  if (name === 'sources') return sourcesPage();
  if (name === 'many') return manyPage();
  if (name === 'pool') return poolPage();
  return isCommand(name) ? commandPage(name, COMMANDS[name]) : undefined;
}

export function mainPage(): string {
  const rows = Object.entries<Command>(COMMANDS).map(([name, { summary }]) => [name, summary] as const);
  return `vdistream: streams virtual disks from images onto block devices

Usage: vdistream COMMAND [OPTIONS]

${aligned(rows)}

  vdistream COMMAND --help    the options of a command
  vdistream help sources      what SRC can be: a file, a URL, an image of Glance
  vdistream help many         how to import many images, or all disks of an archive
  vdistream help pool         how to import from a machine outside Dom0
  vdistream completion SHELL  a completion script for bash, zsh or fish
  vdistream --version         versions, the platform, the addon, and what decompresses

Examples:
  vdistream info image.ova
  vdistream import glance:ID --glance http://10.0.0.1:9292 --sr UUID
  vdistream write https://images.example.org/image.ova /dev/vg/lv --verify
`;
}

const ON_THEIR_OWN_PAGES = ['source', 'many', 'pool'];

function commandPage(name: CommandName, { usage, operands, description, examples, exit }: Command): string {
  const options = optionsOf(name).filter(({ group }) => group === undefined || !ON_THEIR_OWN_PAGES.includes(group));
  const about = operands.includes('SRC') ? `${description}\n${SRC}` : description;
  return `Usage: vdistream ${name} ${usage}

${about}

${optionLines(options)}

${exampleLines(examples)}

${exitLine(exit)}
`;
}

function sourcesPage(): string {
  const rows = [
    ['PATH', 'a file or a device; several VHD files are a chain, leaf first'],
    ['-', 'standard input'],
    ['URL', 'http:// or https://; a dropped connection resumes where it stopped'],
    ['glance:ID', 'an image of Glance, compared with its checksum before success is reported'],
  ] as const;
  const options = allOptions().filter(({ group }) => group === 'source');
  return `SRC is a VHD, or an OVA or tar with VHDs, maybe compressed. Every command that reads images accepts:
${aligned(rows)}

${optionLines(options)}

Glance gets its token from the environment (OS_TOKEN) or from --headers. All users of
the host can see arguments, so put no secret there.

${exampleLines([
  'vdistream info glance:ID --glance http://10.0.0.1:9292',
  'vdistream write https://images.example.org/image.ova disk.raw --ca ca.pem --headers headers.txt',
  'vdistream info glance:ID --glance http://glance:9292 --cache /var/cache/images --cache-size 20G',
])}
`;
}

function manyPage(): string {
  const options = allOptions().filter(({ group }) => group === 'many');
  return `Usage: vdistream import --list FILE [--sr UUID] [OPTIONS]
       vdistream import ARCHIVE --all-disks --sr UUID [OPTIONS]

The other options of import apply to every image. A list can be imported again: what is there is skipped.

${optionLines(options)}

A line of FILE is IMAGE SR, or {"image": "...", "sr": "...", "name": "..."}. Empty lines and those that begin with # are skipped.

${exampleLines(['vdistream import --list images.txt --jobs 4 --verify', 'vdistream import machine.ova --all-disks --name web --sr UUID'])}

Exit status of a list: 0 if all images are there; else 200 and the number that failed, at most 250.
`;
}

function poolPage(): string {
  const options = allOptions().filter(({ group }) => group === 'pool');
  return `Usage: vdistream import SRC... --xapi https://HOST --sr UUID [OPTIONS]

Imports over the network. The environment has the credentials of the pool, XAPI_USER and XAPI_PASSWORD,
or a session that is open, XAPI_SESSION. The other options of import apply, except for --verify,
--dry-run, --list, --all-disks, --device and --xe.

${optionLines(options)}

A certificate is trusted by its authority (--ca), by --fingerprint, or both. There is no insecure mode.

${exampleLines(['vdistream import image.ova --xapi https://pool.example.org --sr UUID --ca pool.pem'])}
`;
}

const optionLines = (options: readonly NamedOption[]): string =>
  aligned(options.map((option) => [optionLabel(option), optionSentence(option)]));

/** `-q, --quiet`, or `--disk NAME` */
export const optionLabel = ({ name, short, argument }: NamedOption): string =>
  `${short === undefined ? '' : `-${short}, `}--${name}${argument === undefined ? '' : ` ${argument}`}`;

/** With its values and its default. `code` formats words that are typed. */
export function optionSentence(
  { sentence, values, default: preset, repeatable }: NamedOption,
  code = (word: string): string => word,
): string {
  const words = values?.map((value) => (value === preset ? `${code(value)} (default)` : code(value)));
  const notes = [
    ...(preset === undefined || values?.includes(preset) ? [] : [`default: ${preset}`]),
    ...(repeatable === undefined ? [] : ['may be repeated']),
  ];
  const formatted = sentence.replaceAll(/--[a-z-]+/g, code);
  return `${formatted}${words === undefined ? '' : `: ${listed(words)}`}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`;
}

function aligned(rows: ReadonlyArray<readonly [string, string]>): string {
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, sentence]) => `  ${label.padEnd(width)}  ${sentence}`).join('\n');
}

const exampleLines = (examples: readonly string[]): string =>
  [examples.length > 1 ? 'Examples:' : 'Example:', ...examples.map((example) => `  ${example}`)].join('\n');

const exitLine = (exit: readonly ExitStatus[]): string =>
  `Exit status: ${exit.map(({ status, brief }) => `${status} ${brief}`).join('; ')}.`;
