/**
 * From the members of a call to the arguments of a function. They come in four ways, of which the last two are our own:
 *
 *     params = pickle of { args: [...], kwargs: {...} }     Nova since 2012-09; the reply is a pickle too
 *     params = pickle of {...}                              Nova before, to download_vhd; the reply is JSON
 *     params = JSON, of either shape                        the reply is JSON
 *     no params: each member is an argument                 xe host-call-plugin … args:image_id=…; the reply is JSON
 */

import { VdiStreamError } from '../errors.ts';
import { checkHeaders, type HeaderFields } from '../http/url.ts';
import { quote } from '../quote.ts';
import { readPickle } from './pickle-read.ts';

/** Which of the replies the caller understands: `flat` is that of Nova before 2012-09. */
export type Form = 'pickle' | 'flat' | 'json';

export interface Arguments {
  readonly form: Form;
  /** All of these are undefined where it was not given, or is None or empty, and throw USAGE where it is of another kind. */
  text(name: string): string | undefined;
  /** One of those that `wanted` names and `fits` takes; a number, or the digits of one. */
  integer(name: string, wanted: string, fits: (value: number) => boolean): number | undefined;
  flag(name: string): boolean | undefined;
  /** A dict, or JSON of one. Names are in lower case. Headers without a value are left out: Nova sends None for what it does not know. */
  headers(name: string): HeaderFields | undefined;
}

/** `positional`: in the order of the function's signature. `others` are given by name only. */
export interface Signature {
  readonly positional: readonly string[];
  readonly others: readonly string[];
}

/** Throws USAGE, without any value in it: there are tokens among them. */
export function readArguments(members: ReadonlyMap<string, string>, { positional, others }: Signature): Arguments {
  const { form, args, kwargs } = given(members);
  if (args.length > positional.length) {
    throw wrong(`there are ${args.length} arguments without a name, and the function takes ${positional.length}`);
  }
  const all = new Map(args.map((value, index) => [positional[index] ?? '', value]));
  for (const [name, value] of Object.entries(kwargs)) {
    if (!positional.includes(name) && !others.includes(name)) throw wrong(`the function has no argument ${quote(name)}`);
    if (all.has(name)) throw wrong(`Argument ${name} is given twice.`);
    all.set(name, value);
  }
  const find = (name: string): unknown => {
    const value = all.get(name);
    return value === null || value === '' ? undefined : value;
  };

  return {
    form,
    text(name) {
      const value = find(name);
      if (value !== undefined && typeof value !== 'string') throw wrong(`Argument ${name} must be a string.`);
      return value;
    },
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
    headers(name) {
      const value = find(name);
      if (value === undefined) return undefined;
      const record = typeof value === 'string' ? parseJson(value, `Argument ${name}`) : value;
      if (!isRecord(record)) throw wrong(`Argument ${name} must be a dict, or JSON of one.`);
      const fields: [string, string][] = [];
      for (const [header, content] of Object.entries(record)) {
        if (content === null) continue;
        if (typeof content !== 'string') throw wrong(`Argument ${name} must have strings for the values of the headers.`);
        fields.push([header, content]);
      }
      return checkHeaders(Object.fromEntries(fields));
    },
  };
}

/** Throws USAGE in the words of Nova's own plugin. */
export function required<T>(name: string, value: T | undefined): T {
  if (value === undefined) throw wrong(`Argument ${name} is required.`);
  return value;
}

export const wrong = (message: string): VdiStreamError => new VdiStreamError('USAGE', message);

interface Given {
  readonly form: Form;
  readonly args: readonly unknown[];
  readonly kwargs: Readonly<Record<string, unknown>>;
}

function given(members: ReadonlyMap<string, string>): Given {
  const params = members.get('params');
  // Nova's session adds the host to each call.
  const others = [...members].filter(([name]) => name !== 'params' && name !== 'host_uuid');
  if (params === undefined) return { form: 'json', args: [], kwargs: Object.fromEntries(others) };
  const [[beside] = []] = others;
  if (beside !== undefined) throw wrong(`the arguments are in params, so none may be beside it, as ${quote(beside)} is`);
  // No pickle begins with a brace: that is no opcode.
  const isJson = /^\s*\{/.test(params);
  const value = isJson ? parseJson(params, 'params') : readPickle(bytesOf(params));
  if (!isRecord(value)) throw wrong('params must hold a dict');
  if (!Object.hasOwn(value, 'args') && !Object.hasOwn(value, 'kwargs')) {
    return { form: isJson ? 'json' : 'flat', args: [], kwargs: value };
  }
  const { args = [], kwargs = {}, ...rest } = value;
  if (!Array.isArray(args) || !isRecord(kwargs) || Object.keys(rest).length > 0) {
    throw wrong('params must hold args, a list, and kwargs, a dict, and nothing else');
  }
  return { form: isJson ? 'json' : 'pickle', args, kwargs };
}

/** A pickle is bytes; those of protocol 0 that are not ASCII are Latin-1. */
function bytesOf(text: string): Uint8Array {
  if (/[^\0-\xff]/.test(text)) throw wrong('params is neither JSON nor a pickle: it has characters that are no bytes');
  return Buffer.from(text, 'latin1');
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The error of JSON.parse quotes the text, which may hold a token.
    throw wrong(`${what} is not JSON`);
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
