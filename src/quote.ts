/** Strings from an image, made safe for messages: shortened, and without anything that a terminal would act on. */

const LONGEST = 60;

/** Quoted, with control characters (also those from 0x80 on) and direction marks escaped. */
export function quote(text: string): string {
  const quoted = JSON.stringify(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
  return quoted.replace(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
