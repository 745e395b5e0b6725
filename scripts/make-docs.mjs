/**
 * Makes what the tables of the source say in other forms: docs/errors.md, the tables in docs/cli/, the shell completions and the man page.
 * `npm run docs` writes them; with --check it only reports, by its exit status, whether they are up to date.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';
import { manPage } from './man-page.mjs';
import { code, table } from './markdown.mjs';
import { rowsOfCommand, rowsOfGroup } from './option-rows.mjs';

/** @typedef {{ exit: number, meaning: string, advice: string, cli?: string, atFault: string, remedies?: readonly string[], guard?: string }} Kind */
/** @typedef {{ ERRORS: Record<string, Kind>, WARNINGS: Record<string, { meaning: string }> }} Tables */

const root = new URL('..', import.meta.url);

const INTRO = `<!-- Made by \`npm run docs\` from src/errors.ts. Do not edit. -->

# Errors and warnings

## Errors

The command line prints an error on stderr and ends with its exit status. The library rejects with a \`VdiStreamError\`
that has the code in \`code\`, the exit status in \`exitCode\` and the guard in \`guard\`.

Where it is known, an error also says where it applies: \`member\` is the name of the archive member, \`offset\` is a byte of
that member or of the target, \`device\` is the path of the target, \`errno\` is the number that the system gave, \`status\` the
status of an HTTP answer, and \`xapi\` the code that the toolstack gave. \`left\` lists what the clean-up after the error could not
undo, one sentence each.

What has "yes" under Retry (in the library \`retryable\`) may well succeed when the same call is made again, unchanged.

An error with a guard is a refusal: nothing has been written, but for \`CHAIN_PARENT\` in a stream. \`--force=GUARD\` (in the
library \`force: ['GUARD']\`) lifts that one guard.
`;

const WARNINGS_INTRO = `## Warnings

A warning does not stop the work and does not change the exit status. The command line prints it on stderr. The library
passes it to \`onWarning\`, and the result lists it in \`warnings\`.
`;

/** The whole page. @param {Tables} tables */
export function errorsPage({ ERRORS, WARNINGS }) {
  const errors = Object.entries(ERRORS).map(([code, { exit, atFault, guard, remedies = [], meaning, advice, cli }]) => [
    `\`${code}\``,
    String(exit),
    guard === undefined ? '' : `\`${guard}\``,
    remedies.some((remedy) => remedy !== 'elsewhere') ? 'yes' : '',
    atFault,
    meaning,
    cli === undefined ? advice : `${advice} On the command line: ${cli}`,
  ]);
  const warnings = Object.entries(WARNINGS).map(([code, { meaning }]) => [`\`${code}\``, meaning]);
  return [
    INTRO,
    table(['Code', 'Exit status', 'Guard', 'Retry', 'At fault', 'Meaning', 'What to do'], errors),
    WARNINGS_INTRO,
    table(['Code', 'Meaning'], warnings),
  ].join('\n');
}

/** @typedef {import('./man-page.mjs').Tables} CliTables */

/**
 * What goes between the markers `<!-- KIND: NAME -->` and `<!-- end -->` of a page in docs/cli/.
 * @param {CliTables} tables @param {string} page @param {string} kind @param {string} name
 */
function generatedTable(tables, page, kind, name) {
  const { COMMAND_NAMES, ENVIRONMENT, EXIT_STATUSES } = tables;
  if (kind === 'environment')
    return table(
      ['Variable', 'Meaning'],
      ENVIRONMENT.map((row) => [code(row.name), row.meaning]),
    );
  if (kind === 'exit')
    return table(
      ['Status', 'Meaning'],
      EXIT_STATUSES.map(({ status, meaning }) => [String(status), meaning]),
    );
  const command = COMMAND_NAMES.find((known) => known === name);
  const rows = command === undefined ? rowsOfGroup(tables, name, code) : rowsOfCommand(tables, command, code);
  const linked = (/** @type {import('./option-rows.mjs').Row} */ { label, page: more }) =>
    more === undefined ? code(label) : `[${code(label)}](${more.startsWith(`${page}#`) ? more.slice(page.length) : more})`;
  return table(
    ['Option', 'Meaning'],
    rows.map((row) => [linked(row), row.meaning]),
  );
}

/** A page of docs/cli/ with its tables made anew. @param {CliTables} tables @param {string} page @param {string} text */
const withTables = (tables, page, text) =>
  text.replaceAll(
    /^(<!-- (\w+)(?:: (\w+))? -->\n)[\s\S]*?^(<!-- end -->)$/gm,
    (_, start, kind, name, end) => `${start}\n${generatedTable(tables, page, kind, name)}\n${end}`,
  );

/** Each file that is made, by its path, with the text it should have. @returns {Promise<Map<string, string>>} */
export async function generatedFiles() {
  const [errors, warnings, options, commands, help, completion] = await Promise.all(
    ['errors', 'warnings', 'cli/options', 'cli/commands', 'cli/help', 'cli/completion'].map(load),
  );
  const tables = { ...options, ...commands, ...help };
  const { version } = JSON.parse(read('package.json'));
  const pages = readdirSync(new URL('docs/cli', root)).filter((name) => name.endsWith('.md'));
  return new Map([
    ['docs/errors.md', errorsPage({ ...errors, ...warnings })],
    ...pages.map((page) => /** @type {const} */ ([`docs/cli/${page}`, withTables(tables, page, read(`docs/cli/${page}`))])),
    ['man/vdistream.1', manPage(tables, version)],
    ['completions/vdistream.bash', completion.completionScript('bash')],
    ['completions/_vdistream', completion.completionScript('zsh')],
    ['completions/vdistream.fish', completion.completionScript('fish')],
  ]);
}

/** @param {string} path */
const read = (path) => readFileSync(new URL(path, root), 'utf8');

/** A module of src/ as the source has it, with all that it imports, so that nothing here depends on a build. @param {string} name */
async function load(name) {
  const bundle = await rolldown({ input: fileURLToPath(new URL(`src/${name}.ts`, root)), platform: 'node', external: ['zlib-sync'] });
  const { output } = await bundle.generate({ format: 'esm' });
  await bundle.close();
  return import(`data:text/javascript,${encodeURIComponent(output[0].code)}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const [path, text] of await generatedFiles()) {
    if (!process.argv.includes('--check')) writeFileSync(new URL(path, root), text);
    else if (!existsSync(new URL(path, root)) || read(path) !== text) {
      console.error(`${path} is not up to date: run \`npm run docs\``);
      process.exitCode = 1;
    }
  }
}
