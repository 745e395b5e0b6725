/** What SRC can be besides a path: a URL, an image of Glance, and either of them fetched first. */

import { readFileSync } from 'node:fs';
import { messageOf, VdiStreamError } from '../errors.ts';
import { glanceImage } from '../glance/image.ts';
import type { HttpOptions } from '../http/client.ts';
import { httpImage } from '../http/download.ts';
import { isUrl } from '../http/url.ts';
import { cachedImage } from '../source/cache.ts';
import type { Opener } from '../source/source.ts';
import { stagedImage } from '../source/staged-image.ts';
import { amount, oneOf } from './options.ts';

interface SourceValues {
  readonly headers?: string | undefined;
  readonly ca?: string | undefined;
  readonly glance?: readonly string[] | undefined;
  readonly 'glance-version'?: string | undefined;
  readonly staging?: string | undefined;
  readonly cache?: string | undefined;
  readonly 'cache-size'?: string | undefined;
}

type Input = string | Opener;

/** For people: of an address without its query, which may be a secret. */
export const namesOf = (inputs: readonly Input[]): string =>
  inputs.map((input) => (typeof input === 'string' ? input : input.name)).join(' ');

export function inputsFrom(sources: readonly string[], values: SourceValues): Input[] {
  const http: HttpOptions = { headers: headersOf(values.headers), ca: values.ca === undefined ? undefined : textOf(values.ca) };
  return sources.map((source) => {
    if (source.startsWith('glance:')) return fetchedFirst(glance(source.slice('glance:'.length), values, http), values);
    return isUrl(source) ? fetchedFirst(httpImage(source, http), values) : source;
  });
}

function glance(id: string, { glance: endpoints = [], 'glance-version': version }: SourceValues, http: HttpOptions): Opener {
  if (endpoints.length === 0) throw new VdiStreamError('USAGE', 'which image service? Give --glance ENDPOINT');
  // A script may leave it empty for a service that wants none.
  const { OS_TOKEN: token = '' } = process.env;
  const headers = token === '' ? http.headers : { 'x-auth-token': token, ...http.headers };
  const known = oneOf(['1', '2'], version, '--glance-version');
  return glanceImage(id, { ...http, headers, endpoints, version: known === '1' ? 1 : 2 });
}

function fetchedFirst(image: Opener, { staging, cache, 'cache-size': size }: SourceValues): Opener {
  if (cache !== undefined) {
    if (size === undefined) throw new VdiStreamError('USAGE', 'how large may the cache become? Give --cache-size BYTES');
    return cachedImage(image, { folder: cache, size: amount(size, '--cache-size') });
  }
  return staging === undefined ? image : stagedImage(image, staging);
}

/** `Name: value` lines. A file, since arguments are there for everybody to see. */
function headersOf(path: string | undefined): Record<string, string> | undefined {
  if (path === undefined) return undefined;
  const lines = textOf(path).split(/\r?\n/);
  const pairs = lines.flatMap((line, index): Array<[string, string]> => {
    if (line.trim() === '' || line.startsWith('#')) return [];
    const colon = line.indexOf(':');
    // The line itself is a secret.
    if (colon < 1) throw new VdiStreamError('USAGE', `${path}: line ${index + 1} is no "Name: value"`);
    return [[line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]];
  });
  return Object.fromEntries(pairs);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const reason = messageOf(cause);
    throw new VdiStreamError('USAGE', `cannot read ${path}: ${reason}`, { cause });
  }
}
