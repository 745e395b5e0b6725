/** Parses what xe prints. xe can print its usage with exit status 0, so all output is checked. */

import { VdiStreamError } from '../errors.ts';
import { isUuid } from './uuid.ts';

/** `a,b`, with `\,` and `\\` inside values; empty output has no values (--minimal; xen-api: ocaml/xapi-cli-server/cli_printer.ml). */
export function splitMinimal(text: string): string[] {
  if (text === '') return [];
  const values = [''];
  for (const [part] of text.matchAll(/\\[\\,]|./gs)) {
    if (part === ',') values.push('');
    else values.push(`${values.pop()}${part.length === 2 ? part.slice(1) : part}`);
  }
  return values;
}

/** A map, printed as `k: v; k: v`. */
export function parseMap(text: string): Map<string, string> {
  const pairs = text.split(';').map((pair) => {
    const colon = pair.indexOf(':');
    return [pair.slice(0, colon).trim(), pair.slice(colon + 1).trim()] as const;
  });
  return new Map(pairs.filter(([key]) => key !== ''));
}

/** Throws XE_FAILED for anything but a uuid. */
export function printedUuid(command: string, printed: string): string {
  const text = printed.trim();
  if (isUuid(text)) return text;
  throw new VdiStreamError('XE_FAILED', `xe ${command} did not print a uuid, but: ${JSON.stringify(text.slice(0, 100))}`);
}
