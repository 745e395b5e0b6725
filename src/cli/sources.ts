/** SRC, DISK and OUT: a path, a URL, a URI of NBD, or an image of Glance. */

import { readFileSync } from 'node:fs';
import { comparableTarget } from '../engine/comparable.ts';
import type { DiskSource } from '../engine/export-options.ts';
import type { SinkInput, TargetInput } from '../engine/open.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import { type GlanceOptions, glanceImage } from '../glance/image.ts';
import type { HttpOptions } from '../http/client.ts';
import { httpImage } from '../http/download.ts';
import { httpSink } from '../http/upload.ts';
import { isUrl } from '../http/url.ts';
import { nbdDisk } from '../nbd/disk.ts';
import { isNbdUri } from '../nbd/uri.ts';
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
  sources.map((source) => {
    if (source.startsWith(VDI)) return vdiDisk(source.slice(VDI.length), { xe: xeOptions(values) });
    return isNbdUri(source) ? nbdDisk(source, { ca: certificatesOf(values) }) : source;
  });

const VDI = 'vdi:';

/** What `verify` compares with. */
export const comparedTarget = (target: string, values: Values): TargetInput =>
  isNbdUri(target) ? comparableTarget(nbdDisk(target, { ca: certificatesOf(values) })) : target;

/** Where `export` writes. */
export function sinkFrom(values: Values): SinkInput {
  const output = values.text('output') ?? '';
  if (output === '') throw new VdiStreamError('USAGE', 'export needs an output: add -o OUT');
  return isUrl(output) ? httpSink(output, httpOptions(values)) : output;
}

/** Where `upload` sends to: an image of Glance, or with `--create` a new one, which has no id yet. */
export function imageFrom(operands: readonly string[], values: Values): { readonly disks: DiskSource[]; readonly id: string | undefined } {
  const last = operands.at(-1) ?? '';
  const isImage = last.startsWith('glance:');
  if (isImage === values.flag('create')) {
    throw new VdiStreamError('USAGE', isImage ? '--create makes an image of its own: leave glance:ID out' : 'add glance:ID, or --create');
  }
  const disks = isImage ? operands.slice(0, -1) : operands;
  if (disks.length === 0) throw new VdiStreamError('USAGE', 'DISK is missing');
  return { disks: disksFrom(disks, values), id: isImage ? last.slice('glance:'.length) : undefined };
}

const httpOptions = (values: Values): HttpOptions => ({ headers: headersOf(values.text('headers')), ca: certificatesOf(values) });

/** Of `--ca`. */
export function certificatesOf(values: Values): string | undefined {
  const ca = values.text('ca');
  return ca === undefined ? undefined : readText(ca);
}

const glance = (id: string, values: Values, http: HttpOptions): Opener => glanceImage(id, glanceService(values, http));

/** Where the image service is, and the token for it. */
export function glanceService(values: Values, { headers: given, ca }: HttpOptions = httpOptions(values)): GlanceOptions {
  const endpoints = values.list('glance');
  if (endpoints.length === 0) throw new VdiStreamError('USAGE', 'glance:ID needs the address of an image service: add --glance URL');
  // A script may leave it empty for a service without authentication.
  const { OS_TOKEN: token = '' } = process.env;
  const headers = token === '' ? given : { 'x-auth-token': token, ...given };
  const version = choice(GLANCE_VERSIONS, values.text('glance-version') ?? '2', '--glance-version');
  return { headers, ca, endpoints, version: version === '1' ? 1 : 2 };
}

function localCopy(values: Values): LocalCopy {
  const folder = values.text('cache');
  return { cache: folder === undefined ? undefined : { folder, size: cacheSize(values) }, staging: values.text('staging') };
}

/** `Name: value` lines. They come from a file because everybody on the host can see arguments. */
function headersOf(path: string | undefined): Record<string, string> | undefined {
  if (path === undefined) return undefined;
  // Not quoted: it may hold a token.
  if (/^[\w-]+:\s/.test(path))
    throw new VdiStreamError('USAGE', '--headers expects a file, not a header: other users of this host can see arguments');
  const lines = readText(path).split(/\r?\n/);
  const pairs = lines.flatMap((line, index): Array<[string, string]> => {
    if (line.trim() === '' || line.startsWith('#')) return [];
    const colon = line.indexOf(':');
    // The line itself may hold a secret, so the message does not quote it.
    if (colon < 1) throw new VdiStreamError('USAGE', `${path}: line ${index + 1} is not "Name: value"`);
    return [[line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]];
  });
  return Object.fromEntries(pairs);
}

/** The text of a file that the command line names. Throws USAGE. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const reason = messageOf(cause);
    throw new VdiStreamError('USAGE', `cannot read ${path}: ${reason}`, { cause });
  }
}
