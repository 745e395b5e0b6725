/**
 * Makes docs/errors.md from the tables in src/errors.ts and src/warnings.ts. `npm run docs` writes it; with --check, it only reports through
 * its exit status whether the page is up to date.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';

/** @typedef {{ exit: number, meaning: string, advice: string, atFault: string, remedies?: readonly string[], guard?: string }} Kind */
/** @typedef {{ ERRORS: Record<string, Kind>, WARNINGS: Record<string, { meaning: string }> }} Tables */

const page = fileURLToPath(new URL('../docs/errors.md', import.meta.url));

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

/** A table with aligned columns, as the formatter expects it. @param {string[]} head @param {string[][]} rows */
function table(head, rows) {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)));
  const line = (/** @type {string[]} */ row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [first = [], ...others] = cells;
  return `${[line(first), line(widths.map((width) => '-'.repeat(width))), ...others.map(line)].join('\n')}\n`;
}

/** The whole page. @param {Tables} tables */
export function errorsPage({ ERRORS, WARNINGS }) {
  const errors = Object.entries(ERRORS).map(([code, { exit, atFault, guard, remedies = [], meaning, advice }]) => [
    `\`${code}\``,
    String(exit),
    guard === undefined ? '' : `\`${guard}\``,
    remedies.some((remedy) => remedy !== 'elsewhere') ? 'yes' : '',
    atFault,
    meaning,
    advice,
  ]);
  const warnings = Object.entries(WARNINGS).map(([code, { meaning }]) => [`\`${code}\``, meaning]);
  return [
    INTRO,
    table(['Code', 'Exit status', 'Guard', 'Retry', 'At fault', 'Meaning', 'What to do'], errors),
    WARNINGS_INTRO,
    table(['Code', 'Meaning'], warnings),
  ].join('\n');
}

/** The tables from the source, so that the page does not depend on a build. @returns {Promise<Tables>} */
async function readTables() {
  const [{ ERRORS }, { WARNINGS }] = await Promise.all([load('errors'), load('warnings')]);
  return { ERRORS, WARNINGS };
}

/** A module of src/, bundled with its imports. @param {string} name */
async function load(name) {
  const bundle = await rolldown({ input: fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url)) });
  const { output } = await bundle.generate({ format: 'esm' });
  await bundle.close();
  return import(`data:text/javascript,${encodeURIComponent(output[0].code)}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const wanted = errorsPage(await readTables());
  if (!process.argv.includes('--check')) writeFileSync(page, wanted);
  else if (readFileSync(page, 'utf8') !== wanted) {
    console.error('docs/errors.md is not up to date: run `npm run docs`');
    process.exitCode = 1;
  }
}
