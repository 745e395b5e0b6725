/** An error for people, or as an object for programs. */

import type { CheckResult } from '../engine/check.ts';
import { cliAdvice, messageOf, VdiStreamError } from '../errors.ts';
import { isUrl, redactUrl } from '../http/url.ts';
import type { Printed } from './output.ts';

/** `argv` is the command line that failed, from the name of the command on. `place` says which of several images failed. */
export function errorText(error: unknown, json: boolean, argv: readonly string[] = [], place = ''): Printed {
  if (!(error instanceof VdiStreamError)) return defectText(error, json, place);
  const advice = cliAdvice(error);
  if (json) return { json: { error: { ...error.toJSON(), advice } } };
  const lines = [`vdistream: ${place}${whereOf(error)}${error.message}`, `  ${advice} (${error.code})`];
  if (error.guard !== undefined) lines.push(`  To go ahead anyway: ${forcedCommand(argv, error.guard)}`);
  for (let cause = error.cause; cause instanceof VdiStreamError; cause = cause.cause)
    lines.push(`  because: ${whereOf(cause)}${cause.message}`);
  for (const sentence of error.left) lines.push(`  left behind: ${sentence}`);
  return lines;
}

/** The same command with the guard lifted. The option comes first, since operands may follow a `--`. */
const forcedCommand = ([name = '', ...rest]: readonly string[], guard: string): string =>
  ['vdistream', name, `--force=${guard}`, ...rest].map(shellWord).join(' ');

/** A word as a shell reads it. A secret may be in the query of a URL. */
function shellWord(word: string): string {
  const shown = isUrl(word) ? redactUrl(word) : word;
  if (/^[\w@%+=:,./-]+$/.test(shown)) return shown;
  if (!/\p{C}/u.test(shown)) return `'${shown.replaceAll("'", "'\\''")}'`;
  const escaped = shown
    .replace(/[\\']/g, '\\$&')
    .replace(/\p{C}/gu, (character) => `\\U${(character.codePointAt(0) ?? 0).toString(16).padStart(8, '0')}`);
  return `$'${escaped}'`;
}

/** The member of an archive, and the byte in it. The message itself names a device. */
function whereOf(error: VdiStreamError): string {
  const at = error.offset === undefined ? '' : `at byte ${error.offset}: `;
  return error.member === undefined ? at : `${error.member}: ${at}`;
}

/** Any other error is a bug in vdistream. Its authors need the stack, which is printed on request. */
function defectText(error: unknown, json: boolean, place: string): Printed {
  const message = messageOf(error);
  if (json) return { json: { error: { code: 'DEFECT', message } } };
  const stack = process.env.VDISTREAM_DEBUG && error instanceof Error ? (error.stack ?? '').split('\n') : [];
  return [`vdistream: ${place}a bug in vdistream: ${message}`, '  Please report it, with what VDISTREAM_DEBUG=1 prints.', ...stack];
}

/** The work succeeded, but its result could not be written to stdout. */
export function outputErrorText({ message: reason }: Error, json: boolean): Printed {
  const message = `the work is done, but its result could not be printed: ${reason}`;
  return json ? { json: { error: { code: 'OUTPUT', message } } } : [`vdistream: ${message} (OUTPUT)`];
}

/** The findings with what the command line advises. */
export function withCliAdvice(result: CheckResult): CheckResult {
  const findings = result.findings.map((finding) => {
    const { code, advice } = finding;
    return advice === undefined ? finding : { ...finding, advice: cliAdvice({ code, advice }) };
  });
  return { ...result, findings };
}
