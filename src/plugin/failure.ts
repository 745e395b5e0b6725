/** An error as xapi and Nova want it: a code, the function, the class that Nova decides by whether to try again, a message. */

import { VdiStreamError } from '../errors.ts';

interface Circumstances {
  /** Why the work was stopped, if it was: this is reported first, whatever else failed on the way out. */
  readonly reason?: unknown;
  /** What the plugin was called with: it may hold a token. */
  readonly argument?: string | undefined;
}

/** The description of a failure, for `failureDocument`. Nova tries again if and only if the class is RetryableError. */
export function failureOf(fn: string, error: unknown, { reason, argument = '' }: Circumstances = {}): string[] {
  const told = reason ?? error;
  const sentences = told instanceof VdiStreamError ? sentencesOf(told) : [defect(told, argument)];
  if (error !== told) sentences.push(...onTheWayOut(error, argument));
  return ['XENAPI_PLUGIN_FAILURE', fn, classOf(told), sentences.join(' ').replace(/\s+/g, ' ')];
}

function classOf(error: unknown): 'RetryableError' | 'ArgumentError' | 'PluginError' {
  if (!(error instanceof VdiStreamError)) return 'PluginError';
  if (error.code === 'USAGE') return 'ArgumentError';
  return error.retryable ? 'RetryableError' : 'PluginError';
}

function sentencesOf(error: VdiStreamError): string[] {
  // What --help says is of no use here.
  const sentences = [`${headline(error)}.`, ...(error.code === 'USAGE' ? [] : [error.advice])];
  for (let cause = error.cause; cause instanceof VdiStreamError; cause = cause.cause) sentences.push(`Because: ${headline(cause)}.`);
  return [...sentences, ...leftBy(error)];
}

function onTheWayOut(error: unknown, argument: string): string[] {
  if (!(error instanceof VdiStreamError)) return [`While it was stopped: ${defect(error, argument)}`];
  return [...(error.code === 'CANCELLED' ? [] : [`While it was stopped: ${headline(error)}.`]), ...leftBy(error)];
}

const leftBy = ({ left }: VdiStreamError): string[] => left.map((sentence) => `Left behind: ${sentence}`);

function headline({ member, offset, message, code }: VdiStreamError): string {
  const place = [member, offset === undefined ? undefined : `at byte ${offset}`].filter((part) => part !== undefined);
  return `${[...place, message.replace(/\.$/, '')].join(': ')} (${code})`;
}

/**
 * A mistake of ours, or of what we stand on. Its message was written for nobody in particular, so what of it was in the argument
 * is taken out: any part may be one of a token.
 */
function defect(error: unknown, argument: string): string {
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const [place = ''] = (error instanceof Error && /^\s+at .*$/m.exec(error.stack ?? '')) || [];
  return `A mistake in vdistream itself, please report it: ${without(argument, `${message}${place}`)}`;
}

/** Characters in a row: fewer are in any argument by chance. */
const TELLTALE = 8;

/** The text with *** for each part of it that is in the argument as well. */
function without(argument: string, text: string): string {
  const isKnown = (at: number): boolean => at + TELLTALE <= text.length && argument.includes(text.slice(at, at + TELLTALE));
  let safe = '';
  for (let at = 0; at < text.length; ) {
    if (!isKnown(at)) {
      safe += text[at++];
      continue;
    }
    while (isKnown(at)) at++;
    at += TELLTALE - 1;
    safe += '***';
  }
  return safe;
}
