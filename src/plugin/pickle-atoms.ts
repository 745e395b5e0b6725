/** Atoms: decodes the strings and numbers of a pickle. Throws USAGE for a malformed one. */

import { VdiStreamError } from '../errors.ts';

/** The reader adds the byte offset of the opcode. */
export const malformed = (what: string): VdiStreamError => new VdiStreamError('USAGE', `the pickle ${what}`);

/** A Python 2 string is bytes; Nova's are ASCII or UTF-8. */
export function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed('has a string that is not UTF-8');
  }
}

const ESCAPES: ReadonlyMap<string, number> = new Map(
  Object.entries({ '\\': 0x5c, "'": 0x27, '"': 0x22, a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 }),
);

/** A line of `S`: bytes as a Python 2 string literal, in single or double quotes. */
export function quotedString(line: string): string {
  const [, , body] = /^(['"])(.*)\1$/s.exec(line) ?? [];
  if (body === undefined) throw malformed('has a string without its quotes');
  const bytes = body.replace(/\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|(.?))/gs, (whole, hex?: string, octal?: string, character?: string) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
    const code = ESCAPES.get(character ?? '');
    if (code !== undefined) return String.fromCharCode(code);
    if (character === '' || character === 'x') throw malformed('has a string with an incomplete escape');
    return whole; // as in Python
  });
  return utf8(Buffer.from(bytes, 'latin1'));
}

/** A line of `V`, raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX as the only escapes. Two backslashes remain two. */
export function rawUnicode(line: string): string {
  return line.replace(/\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))/gs, (whole, short?: string, long?: string, character?: string) => {
    const digits = short ?? long;
    if (digits === undefined && character !== 'u' && character !== 'U') return whole;
    const code = Number.parseInt(digits ?? '', 16);
    if (!(code <= 0x10ffff)) throw malformed('has a string with an incomplete escape');
    return String.fromCodePoint(code);
  });
}

/** A line of `I`, where 00 and 01 have been truth values since Python 2.3. */
export const integerOrTruth = (line: string): number | boolean => (line === '00' || line === '01' ? line === '01' : integer(line));

/** No leading zeros: Python 2 would read them as octal, and Python 3 rejects them. */
function integer(line: string): number {
  if (!/^[+-]?(0|[1-9]\d*)$/.test(line)) throw malformed('has an invalid integer');
  return safe(Number(line));
}

/** A line of `L`, usually with an L after the digits. */
export const longInteger = (line: string): number => integer(line.replace(/L$/, ''));

/** A line of `F`. */
export function float(line: string): number {
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(line)) throw malformed('has an invalid float');
  return finite(Number(line));
}

/** The bytes of a long: little-endian two's complement of any length. */
export function long(bytes: Buffer): number {
  if (bytes.length === 0) return 0;
  const unsigned = BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
  return safe(Number(BigInt.asIntN(8 * bytes.length, unsigned)));
}

function safe(value: number): number {
  if (!Number.isSafeInteger(value)) throw malformed('has an integer beyond 2^53');
  return value;
}

export function finite(value: number): number {
  if (!Number.isFinite(value)) throw malformed('has a number that is not finite');
  return value;
}
