/** Line: a command line as the server reads it, and its values. */

import { failed, misused } from './refusal.mjs';

/**
 * @typedef {object} Line
 * @property {string} command
 * @property {readonly (readonly [name: string, value: string])[]} parameters in order
 */

/** Maximum bytes of a request; more is refused unparsed. */
export const MAX_BODY = 200 * 1024;

/**
 * One argument per line of the body, so a value with a newline makes another argument.
 * @param {string} body
 */
export const argumentsOf = (body) => body.split('\n').map((text) => (text.endsWith('\r') ? text.slice(0, -1) : text));

/** @param {readonly string[]} args @returns {Line} */
export function parseLine([command = '', ...args]) {
  if (command === '' || command.includes('=')) throw misused('Syntax error', '');
  const parameters = args.map((text) => {
    if (text.startsWith('--')) return /** @type {const} */ ([text.slice(2), 'true']);
    // The client has removed its own switches, the ones with a value.
    if (text.startsWith('-')) throw misused('Syntax error', '');
    const equals = text.indexOf('=');
    return equals < 0 ? /** @type {const} */ ([text, '']) : /** @type {const} */ ([text.slice(0, equals), text.slice(equals + 1)]);
  });
  return { command, parameters };
}

/** @param {string} name @param {string} text */
export function booleanOf(name, text) {
  const word = text.toLowerCase();
  if (word === 'true' || word === 'yes') return true;
  if (word === 'false' || word === 'no') return false;
  throw failed(`Failed to parse parameter '${name}': Expected 'true','yes','false','no', got ${text}`);
}

const UNITS = new Map(
  [
    ['', 'b', 'bytes'],
    ['k', 'kb', 'kib'],
    ['m', 'mb', 'mib'],
    ['g', 'gb', 'gib'],
    ['t', 'tb', 'tib'],
  ].flatMap((names, power) => names.map((name) => [name, 1024 ** power])),
);

/** Bytes, written as a whole number with or without a unit. @param {string} field @param {string} text */
export function bytesOf(field, text) {
  const [, number, unit = ''] = /^\s*([+-]?\d+)\s*([a-z]*)$/i.exec(text) ?? [];
  const factor = UNITS.get(unit.toLowerCase());
  if (number === undefined || factor === undefined) {
    throw failed(`Failed to parse field '${field}': expecting an integer (possibly with suffix KiB, MiB, GiB, TiB), got '${text}'`);
  }
  return Number(number) * factor;
}
