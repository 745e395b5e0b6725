/** An error as one readable story, or as one JSON object. */

import { messageOf, VdiStreamError } from '../errors.ts';

/** Ends with a newline; for stderr. */
export function story(error: unknown, json: boolean): string {
  if (!(error instanceof VdiStreamError)) return defect(error, json);
  if (json) return `${JSON.stringify({ error: error })}\n`;
  const lines = [`vdistream: ${place(error)}${error.message}`, `  ${error.advice} (${error.code})`];
  if (error.guard !== undefined) lines.push(`  If you are sure, lift this guard with --force=${error.guard}.`);
  for (let cause = error.cause; cause instanceof VdiStreamError; cause = cause.cause)
    lines.push(`  because: ${place(cause)}${cause.message}`);
  for (const sentence of error.left) lines.push(`  left behind: ${sentence}`);
  return `${lines.join('\n')}\n`;
}

/** Where it is: the member and its byte for an image; a device is named by the message itself. */
function place(error: VdiStreamError): string {
  const at = error.offset === undefined ? '' : `at byte ${error.offset}: `;
  return error.member === undefined ? at : `${error.member}: ${at}`;
}

/** Not one of ours, so a mistake in the program: the stack is what its authors need, on request. */
function defect(error: unknown, json: boolean): string {
  const message = messageOf(error);
  if (json) return `${JSON.stringify({ error: { code: 'DEFECT', message } })}\n`;
  const stack = process.env.VDISTREAM_DEBUG && error instanceof Error ? `${error.stack}\n` : '';
  return `vdistream: a mistake in vdistream itself: ${message}\n  Please report it, with what VDISTREAM_DEBUG=1 prints.\n${stack}`;
}

/** The work is done, and standard output does not take what came of it. */
export function unprinted({ message: reason }: Error, json: boolean): string {
  const message = `the work is done, but its result could not be printed: ${reason}`;
  return json ? `${JSON.stringify({ error: { code: 'OUTPUT', message } })}\n` : `vdistream: ${message} (OUTPUT)\n`;
}
