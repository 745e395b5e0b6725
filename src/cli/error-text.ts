/** An error for people, or as an object for programs. */

import type { CheckResult } from '../engine/check.ts';
import { cliAdvice, messageOf, VdiStreamError } from '../errors.ts';
import { redactWord } from '../http/url.ts';
import { isNodeSupported, OLDEST_NODE } from '../version.ts';
import type { Printed } from './output.ts';

/** `argv` is the command line that failed, from the name of the command on. `place` says which of several images failed. */
export function errorText(error: unknown, json: boolean, argv: readonly string[] = [], place = ''): Printed {
  if (!(error instanceof VdiStreamError)) return defectText(error, json, place);
  if (json) return { json: { error: errorObject(error) } };
  const advice = cliAdvice(error);
  const lines = [`vdistream: ${place}${whereOf(error)}${error.message}`, `  ${advice} (${error.code})`];
  if (error.guard !== undefined) lines.push(`  To go ahead anyway: ${forcedCommand(argv, error.guard)}`);
  for (let cause = error.cause; cause instanceof VdiStreamError; cause = cause.cause)
    lines.push(`  because: ${whereOf(cause)}${cause.message}`);
  for (const sentence of error.left) lines.push(`  left behind: ${sentence}`);
  return lines;
}

/** As `--json` and the log have it. */
export const errorObject = (error: unknown): object =>
  error instanceof VdiStreamError ? { ...error.toJSON(), advice: cliAdvice(error) } : { code: 'DEFECT', message: messageOf(error) };

export const exitStatusOf = (error: unknown): number => (error instanceof VdiStreamError ? error.exitCode : 1);

/** The same command with the guard lifted. The option comes first, since operands may follow a `--`. */
const forcedCommand = ([name = '', ...rest]: readonly string[], guard: string): string =>
  ['vdistream', name, `--force=${guard}`, ...rest].map(shellWord).join(' ');

/** A word as a shell reads it. A secret may be in the query of a URL. */
function shellWord(word: string): string {
  const shown = redactWord(word);
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
  if (json) return { json: { error: errorObject(error) } };
  const message = messageOf(error);
  if (!isNodeSupported())
    return [`vdistream: Node ${process.versions.node} is not supported: ${message}`, `  vdistream needs Node ${OLDEST_NODE} or later.`];
  const stack = process.env.VDISTREAM_DEBUG && error instanceof Error ? (error.stack ?? '').split('\n') : [];
  return [`vdistream: ${place}a bug in vdistream: ${message}`, '  Please report it, with what VDISTREAM_DEBUG=1 prints.', ...stack];
}

/** The work succeeded, but its result could not be written to stdout. */
export const outputErrorText = (reason: Error, json: boolean): Printed =>
  json ? { json: { error: outputErrorObject(reason) } } : [`vdistream: ${outputMessage(reason)} (OUTPUT)`];

export const outputErrorObject = (reason: Error): object => ({ code: 'OUTPUT', message: outputMessage(reason) });

const outputMessage = ({ message }: Error): string => `the work is done, but its result could not be printed: ${message}`;

/** The findings with what the command line advises. */
export function withCliAdvice(result: CheckResult): CheckResult {
  const findings = result.findings.map((finding) => {
    const { code, advice } = finding;
    return advice === undefined ? finding : { ...finding, advice: cliAdvice({ code, advice }) };
  });
  return { ...result, findings };
}
