/** The man page, vdistream(1), in the man macros of roff. */

import { code } from './markdown.mjs';
import { rowsOfCommand, rowsOfGroup } from './option-rows.mjs';

/** @typedef {Pick<typeof import('../src/cli/commands.ts'), 'COMMANDS' | 'COMMAND_NAMES' | 'ENVIRONMENT' | 'EXIT_STATUSES'>} Commands */
/** @typedef {import('./option-rows.mjs').Tables & Commands} Tables */

/** A backslash, a minus sign, and a dot or a quote at the start of a line mean something to roff. @param {string} text */
const escaped = (text) => text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^[.']/gm, '\\&$&');

/** Text with `code` in bold. @param {string} text */
const roff = (text) => escaped(text).replaceAll(/`([^`]*)`/g, '\\fB$1\\fR');

/** @param {string} label @param {string} text */
const item = (label, text) => `.TP\n.B ${escaped(label)}\n${roff(text)}\n`;

/** @param {import('./option-rows.mjs').Row[]} rows */
const items = (rows) => rows.map(({ label, meaning }) => item(label, meaning)).join('');

const SRC = [
  item('PATH', 'a file or a device; several VHD files are a chain, leaf first'),
  item('-', 'standard input'),
  item('URL', '`http://` or `https://`; a dropped connection resumes where it stopped'),
  item('glance:ID', 'an image of Glance, compared with its checksum before success is reported'),
].join('');

/** @param {Tables} tables @param {string} version */
export function manPage(tables, version) {
  const { COMMANDS, COMMAND_NAMES, ENVIRONMENT, EXIT_STATUSES } = tables;
  const commands = COMMAND_NAMES.map((name) => {
    const { usage, description } = COMMANDS[name];
    return `.SS vdistream ${name} ${escaped(usage)}\n${roff(description)}\n${items(rowsOfCommand(tables, name, code))}`;
  });
  const examples = COMMAND_NAMES.flatMap((name) => COMMANDS[name].examples);
  const group = (/** @type {string} */ name) => items(rowsOfGroup(tables, name, code));
  return `.\\" Made by \`npm run docs\` from src/cli/. Do not edit.
.TH VDISTREAM 1 "" "vdistream ${version}" "User Commands"
.SH NAME
vdistream \\- stream virtual disks from images onto block devices
.SH SYNOPSIS
.B vdistream
.I COMMAND
.RI [ OPTIONS ]
.SH DESCRIPTION
Reads the disk in a virtual machine image (a VHD, or an OVA or tar with VHDs, maybe compressed) and writes it to a block device, a file,
or a new VDI of a Xen host, in one pass and in constant memory.
.PP
\\fBSRC\\fR is one of
${SRC}.SH COMMANDS
Every command also accepts \\fB\\-\\-help\\fR.
${commands.join('')}.SH IMAGE OPTIONS
For every command that reads an image:
${group('image')}.SH MANY IMAGES
For \\fBimport\\fR:
${group('many')}.SH FROM OUTSIDE DOM0
For \\fBimport\\fR:
${group('pool')}.SH SOURCE OPTIONS
For every command that reads an image:
${group('source')}.SH OUTPUT OPTIONS
For every command:
${group('output')}.SH EXIT STATUS
${EXIT_STATUSES.map(({ status, meaning }) => item(String(status), meaning)).join('')}.SH ENVIRONMENT
${ENVIRONMENT.map(({ name, meaning }) => item(name, meaning)).join('')}.SH EXAMPLES
.nf
${examples.map(escaped).join('\n')}
.fi
.SH SEE ALSO
.BR qemu\\-img (1)
.PP
The documentation in the package: docs/cli/README.md.
`;
}
