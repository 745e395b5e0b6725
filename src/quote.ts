/** Strings of an image in messages: cut, and without anything that moves a terminal or the eye of who reads them. */

const LONGEST = 60;

/** In quotes, with escapes for control characters, also those from 0x80 on, and for marks that turn text around. */
export function quote(text: string): string {
  const quoted = JSON.stringify(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
  return quoted.replace(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
