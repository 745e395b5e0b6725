/** SRC: a path, a URL, or an image of Glance. */

import { readFileSync } from 'node:fs';
import type { DiskSource } from '../engine/export-options.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import { glanceImage } from '../glance/image.ts';
import type { HttpOptions } from '../http/client.ts';
import { httpImage } from '../http/download.ts';
import { isUrl } from '../http/url.ts';
import { type LocalCopy, withLocalCopy } from '../source/local-copy.ts';
import type { Opener } from '../source/source.ts';
import { vdiDisk } from '../xen/vdi-disk.ts';
import { GLANCE_VERSIONS } from './options.ts';
import type { Values } from './parse.ts';
import { cacheSize, choice, xeOptions } from './values.ts';

export type Input = string | Opener;

/** For people. A URL comes without its query, which may hold a secret. */
export const namesOf = (inputs: readonly Input[]): string =>
  inputs.map((input) => (typeof input === 'string' ? input : input.name)).join(' ');

export function inputsFrom(sources: readonly string[], values: Values): Input[] {
  const http = httpOptions(values);
  return sources.map((source) => {
    if (source.startsWith('glance:')) return withLocalCopy(glance(source.slice('glance:'.length), values, http), localCopy(values));
    return isUrl(source) ? withLocalCopy(httpImage(source, http), localCopy(values)) : source;
  });
}

/** What `export` reads. */
export const disksFrom = (sources: readonly string[], values: Values): DiskSource[] =>
  sources.map((source) => (source.startsWith(VDI) ? vdiDisk(source.slice(VDI.length), { xe: xeOptions(values) }) : source));

const VDI = 'vdi:';

function httpOptions(values: Values): HttpOptions {
  const ca = values.text('ca');
  return { headers: headersOf(values.text('headers')), ca: ca === undefined ? undefined : textOf(ca) };
}

function glance(id: string, values: Values, { headers: given, ca }: HttpOptions): Opener {
  const endpoints = values.list('glance');
  if (endpoints.length === 0) throw new VdiStreamError('USAGE', 'glance:ID needs the address of an image service: add --glance URL');
  // A script may leave it empty for a service without authentication.
  const { OS_TOKEN: token = '' } = process.env;
  const headers = token === '' ? given : { 'x-auth-token': token, ...given };
  const version = choice(GLANCE_VERSIONS, values.text('glance-version') ?? '2', '--glance-version');
  return glanceImage(id, { headers, ca, endpoints, version: version === '1' ? 1 : 2 });
}

function localCopy(values: Values): LocalCopy {
  const folder = values.text('cache');
  return { cache: folder === undefined ? undefined : { folder, size: cacheSize(values) }, staging: values.text('staging') };
}

/** `Name: value` lines. They come from a file because everybody on the host can see arguments. */
function headersOf(path: string | undefined): Record<string, string> | undefined {
  if (path === undefined) return undefined;
  const lines = textOf(path).split(/\r?\n/);
  const pairs = lines.flatMap((line, index): Array<[string, string]> => {
    if (line.trim() === '' || line.startsWith('#')) return [];
    const colon = line.indexOf(':');
    // The line itself may hold a secret, so the message does not quote it.
    if (colon < 1) throw new VdiStreamError('USAGE', `${path}: line ${index + 1} is not "Name: value"`);
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
