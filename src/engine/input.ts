/** Input: what the calls read, checked, with its URLs as the strings that `open.ts` opens. */

import { fileURLToPath } from 'node:url';
import { checkSource } from '../arguments.ts';
import type { Chunks } from '../cursor.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import type { Opener } from '../source/source.ts';

/** A path, a URL, `-` for standard input, a stream of bytes, or an opener, such as that of a Glance image. */
export type SourceInput = string | URL | Chunks | Opener;

type OpenableInput = Exclude<SourceInput, URL>;

/** Throws USAGE. */
export function sourceOf(call: string, given: SourceInput): OpenableInput {
  checkSource(call, given);
  const input = given instanceof URL ? given.href : given;
  return typeof input === 'string' && /^file:/i.test(input) ? pathOf(call, input) : input;
}

function pathOf(call: string, url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new VdiStreamError('USAGE', `${call}: ${messageOf(cause)}`, { cause });
  }
}

/** The first argument of a call: one source, or several. Throws USAGE. */
export function inputOf(call: string, given: SourceInput | readonly SourceInput[]): OpenableInput | readonly OpenableInput[] {
  if (!isSeveral(given)) return sourceOf(call, given);
  if (given.length === 0) throw new VdiStreamError('USAGE', `${call}: no source`);
  return given.map((each) => sourceOf(call, each));
}

const isSeveral = (given: SourceInput | readonly SourceInput[]): given is readonly SourceInput[] => Array.isArray(given);
