/** Failure: an error as xapi and Nova expect it: a code, the function, a class that decides whether Nova retries, and a message. */

import { rejection, VdiStreamError } from '../errors.ts';
import { UploadFailure } from './upload-failure.ts';

interface Circumstances {
  /** Why the call was stopped, if it was; reported first, before anything that failed while stopping. */
  readonly reason?: unknown;
  /** The plugin's argument, which may contain a token. */
  readonly argument?: string | undefined;
}

interface Failure {
  /** For `failureDocument`. Nova retries if and only if the class is RetryableError. */
  readonly description: readonly string[];
  /** For the log: class and message, also where Nova expects another message. */
  readonly summary: string;
}

export function failureOf(fn: string, error: unknown, { reason, argument = '' }: Circumstances = {}): Failure {
  const first = reason ?? error;
  const primary = rejection(first);
  const sentences = sentencesFor(primary, argument);
  if (error !== first) sentences.push(...whileStopping(error, argument));
  const text = sentences.join(' ').replace(/\s+/g, ' ');
  const kind = classOf(primary);
  // Exactly these four elements: Nova then ends the snapshot quietly.
  const message = kind === 'Failure' ? 'ImageNotFound' : text;
  return { description: ['XENAPI_PLUGIN_FAILURE', fn, kind, message], summary: `${kind}: ${text}` };
}

function classOf(error: unknown): 'RetryableError' | 'ArgumentError' | 'PluginError' | 'Failure' {
  if (error instanceof UploadFailure) return error.kind;
  if (!(error instanceof VdiStreamError)) return 'PluginError';
  if (error.code === 'USAGE') return 'ArgumentError';
  return error.retryable ? 'RetryableError' : 'PluginError';
}

function sentencesFor(error: unknown, argument: string): string[] {
  if (error instanceof UploadFailure) return sentencesOfUpload(error);
  return error instanceof VdiStreamError ? sentencesOf(error) : [defect(error, argument)];
}

/** In the words of Nova's plugin, then in ours. */
function sentencesOfUpload({ message, refusal }: UploadFailure): string[] {
  const [first = '', ...others] = sentencesOf(refusal);
  return [`${message}.`, `Message: ${first.replace(/^[a-z](?=[a-z]* )/, (letter) => letter.toUpperCase())}`, ...others];
}

function sentencesOf(error: VdiStreamError): string[] {
  // The advice for USAGE refers to --help, which a plugin does not have.
  const sentences = [`${headline(error)}.`, ...(error.code === 'USAGE' ? [] : [error.advice])];
  for (let cause = error.cause; cause instanceof VdiStreamError; cause = cause.cause) sentences.push(`Cause: ${headline(cause)}.`);
  return [...sentences, ...leftBy(error)];
}

function whileStopping(given: unknown, argument: string): string[] {
  const error = given instanceof UploadFailure ? given.refusal : given;
  if (!(error instanceof VdiStreamError)) return [`While stopping: ${defect(error, argument)}`];
  return [...(error.code === 'CANCELLED' ? [] : [`While stopping: ${headline(error)}.`]), ...leftBy(error)];
}

const leftBy = ({ left }: VdiStreamError): string[] => left.map((sentence) => `Left behind: ${sentence}`);

function headline({ member, offset, message, code }: VdiStreamError): string {
  const place = [member, offset === undefined ? undefined : `at byte ${offset}`].filter((part) => part !== undefined);
  return `${[...place, message.replace(/\.$/, '')].join(': ')} (${code})`;
}

/**
 * A bug in vdistream or its dependencies. Its message may quote the argument, so every part of the argument is masked: any may belong to a
 * token.
 */
function defect(error: unknown, argument: string): string {
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const [place = ''] = (error instanceof Error && /^\s+at .*$/m.exec(error.stack ?? '')) || [];
  return `This is a bug in vdistream, please report it: ${masked(argument, `${message}${place}`)}`;
}

/** Length of a common substring that counts: shorter ones occur by chance. */
const MASKED_LENGTH = 8;

/** The text with *** for each part that also occurs in the argument. */
function masked(argument: string, text: string): string {
  const isShared = (at: number): boolean => at + MASKED_LENGTH <= text.length && argument.includes(text.slice(at, at + MASKED_LENGTH));
  let safe = '';
  for (let at = 0; at < text.length; ) {
    if (!isShared(at)) {
      safe += text[at++];
      continue;
    }
    while (isShared(at)) at++;
    at += MASKED_LENGTH - 1;
    safe += '***';
  }
  return safe;
}
