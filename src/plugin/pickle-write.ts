/** Writes a reply as a pickle of protocol 0, which every Python since 2.3 reads, in printable ASCII and line feeds. */

import { assert } from '../errors.ts';
import type { PickleValue } from './pickle-read.ts';

/** Numbers must be safe integers; replies have no others. */
export const writePickle = (value: PickleValue): string => `${written(value)}.`;

/** Without the memo: a shared value is written twice. */
function written(value: PickleValue): string {
  if (value === null) return 'N';
  if (typeof value === 'boolean') return value ? 'I01\n' : 'I00\n';
  if (typeof value === 'number') return integer(value);
  if (typeof value === 'string') return `V${escapedUnicode(value)}\n`;
  if (isList(value)) return `(l${value.map((item) => `${written(item)}a`).join('')}`;
  const items = Object.entries(value).map(([key, item]) => `${written(key)}${written(item)}s`);
  return `(d${items.join('')}`;
}

/** Array.isArray does not narrow a type to a readonly array. */
const isList = (value: object): value is readonly PickleValue[] => Array.isArray(value);

/** Python 2 reads `I` as a C long. */
function integer(value: number): string {
  assert(Number.isSafeInteger(value), 'replies have integers only');
  return Math.abs(value) < 2 ** 31 ? `I${value}\n` : `L${value}L\n`;
}

/** Escapes backslashes and everything but printable ASCII. */
function escapedUnicode(text: string): string {
  return text.replace(/[^ -[\]-~]/gu, (character) => {
    const digits = (character.codePointAt(0) ?? 0).toString(16);
    return digits.length > 4 ? `\\U${digits.padStart(8, '0')}` : `\\u${digits.padStart(4, '0')}`;
  });
}
