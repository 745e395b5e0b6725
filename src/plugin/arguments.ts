/**
 * Arguments: turns the members of a call into the arguments of a function. There are four forms; the last two are vdistream's own:
 *
 *     params = pickle of { args: [...], kwargs: {...} }     Nova since 2012-09; the reply is a pickle too
 *     params = pickle of {...}                              older Nova, calling download_vhd; the reply is JSON
 *     params = JSON of either shape                         the reply is JSON
 *     no params: each member is an argument                 xe host-call-plugin … args:image_id=…; the reply is JSON
 */

import { VdiStreamError } from '../errors.ts';
import { checkHeaders, type HeaderFields } from '../http/url.ts';
import { quote } from '../quote.ts';
import { readPickle } from './pickle-read.ts';

/** The form of reply that the caller expects; `flat` is that of Nova before 2012-09. */
export type Form = 'pickle' | 'flat' | 'json';

export interface Arguments {
  readonly form: Form;
  /** Like the others, returns undefined if the argument is missing, None or empty, and throws USAGE if it has the wrong type. */
  text(name: string): string | undefined;
  /** A number, or its digits, that `fits` accepts; `wanted` describes it in messages. */
  integer(name: string, wanted: string, fits: (value: number) => boolean): number | undefined;
  flag(name: string): boolean | undefined;
  /** An absolute path, because the working directory of a plugin is undefined. */
  file(name: string): string | undefined;
  /** A list of strings, JSON of one, or strings with commas between them; or a dict with some of these keys, of which the first is required. */
  list(name: string, keys: readonly string[]): readonly string[] | undefined;
  /** Or JSON of one. */
  dict(name: string): Readonly<Record<string, unknown>> | undefined;
  /** A dict, or JSON of one; names become lower case. Headers that are None are left out: Nova sends None for values it lacks. */
  headers(name: string): HeaderFields | undefined;
}

/** `positional`: in the order of the function's signature. `others`: by name only. */
export interface Signature {
  readonly positional: readonly string[];
  readonly others: readonly string[];
}

/** Throws USAGE, never with a value in it: one may be a token. */
export function readArguments(members: ReadonlyMap<string, string>, { positional, others }: Signature): Arguments {
  const { form, args, kwargs } = unpack(members);
  if (args.length > positional.length) {
    throw wrong(`there are ${args.length} positional arguments, but the function accepts ${positional.length}`);
  }
  const values = new Map(args.map((value, index) => [positional[index] ?? '', value]));
  for (const [name, value] of Object.entries(kwargs)) {
    if (!positional.includes(name) && !others.includes(name)) throw wrong(`the function has no argument ${quote(name)}`);
    if (values.has(name)) throw wrong(`Argument ${name} is given twice.`);
    values.set(name, value);
  }
  const find = (name: string): unknown => {
    const value = values.get(name);
    return value === null || value === '' ? undefined : value;
  };
  const text = (name: string): string | undefined => {
    const value = find(name);
    if (value !== undefined && typeof value !== 'string') throw wrong(`Argument ${name} must be a string.`);
    return value;
  };

  return {
    form,
    text,
    integer(name, wanted, fits) {
      const value = find(name);
      if (value === undefined) return undefined;
      const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value;
      if (typeof number !== 'number' || !Number.isSafeInteger(number) || !fits(number)) throw wrong(`Argument ${name} must be ${wanted}.`);
      return number;
    },
    flag(name) {
      const value = find(name);
      if (value === undefined) return undefined;
      const word = typeof value === 'object' ? '' : String(value).toLowerCase();
      if (word === 'true' || word === '1') return true;
      if (word === 'false' || word === '0') return false;
      throw wrong(`Argument ${name} must be true or false.`);
    },
    file(name) {
      const path = text(name);
      if (path !== undefined && !path.startsWith('/')) throw wrong(`Argument ${name} must be an absolute path.`);
      return path;
    },
    list: (name, keys) => listOf(name, find(name), keys),
    dict: (name) => dictOf(name, find(name)),
    headers(name) {
      const record = dictOf(name, find(name));
      if (record === undefined) return undefined;
      const fields: [string, string][] = [];
      for (const [header, content] of Object.entries(record)) {
        if (content === null) continue;
        if (typeof content !== 'string') throw wrong(`Argument ${name} must have strings as header values.`);
        fields.push([header, content]);
      }
      return checkHeaders(Object.fromEntries(fields));
    },
  };
}

function dictOf(name: string, value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (value === undefined) return undefined;
  const record = typeof value === 'string' ? parseJson(value, `Argument ${name}`) : value;
  if (!isRecord(record)) throw wrong(`Argument ${name} must be a dict, or JSON of one.`);
  return record;
}

function listOf(name: string, value: unknown, keys: readonly string[]): readonly string[] | undefined {
  if (value === undefined) return undefined;
  const isJson = typeof value === 'string' && /^\s*[{[]/.test(value);
  const given = isJson ? parseJson(value, `Argument ${name}`) : typeof value === 'string' ? value.split(',') : value;
  const [first = ''] = keys;
  if (isRecord(given) && (!Object.hasOwn(given, first) || Object.keys(given).some((key) => !keys.includes(key)))) {
    throw wrong(`Argument ${name} must have the key ${first}, and no others than ${keys.join(', ')}.`);
  }
  const values = isRecord(given) ? keys.filter((key) => Object.hasOwn(given, key)).map((key) => given[key]) : given;
  if (!Array.isArray(values) || !values.every((each) => typeof each === 'string'))
    throw wrong(`Argument ${name} must be a list of strings.`);
  return values;
}

/** Throws USAGE, worded as in Nova's own plugin. */
export function required<T>(name: string, value: T | undefined): T {
  if (value === undefined) throw wrong(`Argument ${name} is required.`);
  return value;
}

export const wrong = (message: string): VdiStreamError => new VdiStreamError('USAGE', message);

interface Unpacked {
  readonly form: Form;
  readonly args: readonly unknown[];
  readonly kwargs: Readonly<Record<string, unknown>>;
}

function unpack(members: ReadonlyMap<string, string>): Unpacked {
  const params = members.get('params');
  // Nova's session adds host_uuid to each call.
  const others = [...members].filter(([name]) => name !== 'params' && name !== 'host_uuid');
  if (params === undefined) return { form: 'json', args: [], kwargs: Object.fromEntries(others) };
  const [[extra] = []] = others;
  if (extra !== undefined) throw wrong(`the arguments are in params, so ${quote(extra)} is not allowed next to it`);
  // No pickle begins with a brace: it is not an opcode.
  const isJson = /^\s*\{/.test(params);
  const value = isJson ? parseJson(params, 'params') : readPickle(bytesOf(params));
  if (!isRecord(value)) throw wrong('params must be a dict');
  if (!Object.hasOwn(value, 'args') && !Object.hasOwn(value, 'kwargs')) {
    return { form: isJson ? 'json' : 'flat', args: [], kwargs: value };
  }
  const { args = [], kwargs = {}, ...rest } = value;
  if (!Array.isArray(args) || !isRecord(kwargs) || Object.keys(rest).length > 0) {
    throw wrong('params must have only args, a list, and kwargs, a dict');
  }
  return { form: isJson ? 'json' : 'pickle', args, kwargs };
}

/** A pickle is bytes; those of protocol 0 that are not ASCII are Latin-1. */
function bytesOf(text: string): Uint8Array {
  if (/[^\0-\xff]/.test(text)) throw wrong('params is neither JSON nor a pickle: it has characters beyond Latin-1');
  return Buffer.from(text, 'latin1');
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The error of JSON.parse quotes the text, and a token with it.
    throw wrong(`${what} is not JSON`);
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
