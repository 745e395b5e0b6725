/**
 * Metadata: what Glance reports about an image before it is downloaded.
 *
 *   v2  GET  /v2/images/ID   a JSON object
 *   v1  HEAD /v1/images/ID   headers x-image-meta-NAME, empty or missing where v2 has null
 *
 *   id             of the image
 *   status         `active`: can be downloaded; `queued`, `saving`, `killed`, `deactivated` and others: cannot
 *   size           stored bytes; null if unknown
 *   checksum       their MD5; null if unknown
 *   os_hash_algo   v2, since 2018: hashlib's name of a second digest, `sha512` by default
 *   os_hash_value  that digest
 *
 * `virtual_size` is not used: for an image labelled raw, Glance reports the stored size, even if it is compressed, and it has none for
 * a disk in a tar.
 */

import { createHash } from 'node:crypto';
import { MiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import type { HttpAnswer } from '../http/exchange.ts';
import { redactUrl } from '../http/url.ts';
import type { Digest } from '../source/source.ts';

export interface Metadata {
  /** Bytes, if the service has their number. */
  readonly length: number | undefined;
  /** Of the stored bytes. */
  readonly digest: Digest | undefined;
  /** The algorithm of a stronger digest that the service has, but that cannot be computed here. */
  readonly uncompared: string | undefined;
}

type Fields = ReadonlyMap<string, unknown>;

/** A real response has a few KiB, all properties included. */
const MAX_ANSWER_BYTES = MiB;

/** Throws GLANCE_ANSWER, and the errors of reading the body. */
export async function fieldsOfJson({ url, body }: HttpAnswer): Promise<Fields> {
  const text = Buffer.alloc(MAX_ANSWER_BYTES);
  let length = 0;
  for await (const chunk of body) {
    if (length + chunk.length > MAX_ANSWER_BYTES) throw answerError(redactUrl(url), `has more than ${MAX_ANSWER_BYTES} bytes`);
    text.set(chunk, length);
    length += chunk.length;
  }
  let value: unknown;
  try {
    value = JSON.parse(text.toString('utf8', 0, length));
  } catch {
    // The parser's error quotes the response, which may echo a token from the request.
    throw answerError(redactUrl(url), 'is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw answerError(redactUrl(url), 'is not a JSON object');
  return new Map<string, unknown>(Object.entries(value));
}

/** Version 1 reports size 0 for an image stored elsewhere whose size it could not determine. */
export function fieldsOfHeaders({ headers }: HttpAnswer): Fields {
  const field = (name: string): string | undefined => headers[`x-image-meta-${name}`] || undefined;
  const size = field('size');
  return new Map<string, unknown>([
    ['id', field('id')],
    ['status', field('status')],
    ['checksum', field('checksum')],
    ['size', size !== undefined && /^\d+$/.test(size) ? Number(size) || undefined : size],
  ]);
}

/** What the service reports about an image in any status. */
export interface ImageRecord {
  readonly status: string;
  /** Bytes, if the service has their number. */
  readonly size: number | undefined;
  readonly md5: Digest | undefined;
  /** Undefined if the service has no such field: of version 1, or older than 2018. The field is empty before the image has data. */
  readonly hash: { readonly name: string | undefined; readonly digest: Digest | undefined } | undefined;
  /** The algorithms of the digests that it has, but that cannot be computed here, the strongest first. */
  readonly uncomputable: readonly string[];
}

/** `where`: the URL, for messages. Throws GLANCE_ANSWER. */
export function recordOf(fields: Fields, id: string, where: string): ImageRecord {
  const text = (name: string): string | undefined => {
    const value = fields.get(name) ?? undefined;
    if (value !== undefined && typeof value !== 'string') throw answerError(where, `has a ${name} that is not a string`);
    return value;
  };

  if (text('id')?.toLowerCase() !== id.toLowerCase()) throw answerError(where, 'describes another image');
  const status = text('status') ?? '';
  if (!/^[a-z_]{1,32}$/.test(status)) throw answerError(where, 'has no valid image status');
  const size = fields.get('size') ?? undefined;
  if (size !== undefined && !isSize(size)) throw answerError(where, 'has an invalid size');
  const name = text('os_hash_algo');
  const value = text('os_hash_value');
  const checksum = text('checksum');
  const md5 = digestOf(where, 'checksum', 'md5', checksum);
  const digest = name === undefined ? undefined : digestOf(where, 'os_hash_value', nodeAlgorithm(name), value);
  const isLost = (written: string | undefined, found: Digest | undefined): boolean => written !== undefined && found === undefined;
  return {
    status,
    size,
    md5,
    hash: fields.has('os_hash_algo') ? { name, digest } : undefined,
    uncomputable: [...(name !== undefined && isLost(value, digest) ? [name] : []), ...(isLost(checksum, md5) ? ['md5'] : [])],
  };
}

/** Of an image that can be downloaded. Throws GLANCE_STATUS for one that is not active. */
export function metadataOf({ status, size, hash, md5, uncomputable }: ImageRecord, id: string): Metadata {
  if (status !== 'active') throw new VdiStreamError('GLANCE_STATUS', `glance image ${id} is ${status}, not active`);
  return { length: size, digest: hash?.digest ?? md5, uncompared: hash?.digest === undefined ? uncomputable[0] : undefined };
}

/** From Python's name of a hash, in hashlib, to that of OpenSSL, which Node uses. */
export function nodeAlgorithm(name: string): string {
  const plain = name.toLowerCase().replaceAll('_', '-');
  return NODE_NAMES.get(plain) ?? plain;
}

/** hashlib has one length of each unless the caller asks for another, and Glance does not. */
const NODE_NAMES: ReadonlyMap<string, string> = new Map([
  ['blake2b', 'blake2b512'],
  ['blake2s', 'blake2s256'],
]);

const isSize = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/** Undefined if there is no digest, or Node does not support its algorithm. */
function digestOf(where: string, name: string, algorithm: string | undefined, value: string | undefined): Digest | undefined {
  const length = algorithm === undefined ? undefined : digestLength(algorithm);
  if (algorithm === undefined || value === undefined || length === undefined) return undefined;
  const hex = value.toLowerCase();
  if (hex.length !== 2 * length || !/^[0-9a-f]+$/.test(hex))
    throw answerError(where, `has a ${name} that is not a valid ${algorithm} digest`);
  return { algorithm, hex };
}

/** Bytes; undefined if the algorithm is unsupported, or forbidden as MD5 may be (FIPS). */
function digestLength(algorithm: string): number | undefined {
  try {
    return createHash(algorithm).digest().length;
  } catch {
    return undefined;
  }
}

const answerError = (where: string, what: string): VdiStreamError => new VdiStreamError('GLANCE_ANSWER', `${where}: the response ${what}`);
