/** Text made safe to print: nothing in it that a terminal or a reader of a log would act on or be misled by. */

const LONGEST = 60;

/** Control characters, also those from U+0080 on, direction and format marks, unassigned code points, and separators of lines. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** In quotes and shortened, for strings from an image. */
export function quote(text: string): string {
  return printable(JSON.stringify(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text));
}

/** Text as one line: each character that is not printable, line ends included, becomes `\n`, `\t`, `\r` or `\u{…}`. */
export const printable = (text: string): string =>
  text.replace(UNPRINTABLE, (character) => SHORT.get(character) ?? `\\u{${character.codePointAt(0)?.toString(16)}}`);

const SHORT: ReadonlyMap<string, string> = new Map([
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
]);

/** JSON on one line, with the same characters as `\uXXXX`, so the data is unchanged (RFC 8259, 7). */
export const printableJson = (value: unknown): string =>
  JSON.stringify(value).replace(UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`).join(''),
  );
