/**
 * Metadata: what Glance says about an image before its bytes are fetched.
 *
 *   v2  GET  /v2/images/ID   a JSON object
 *   v1  HEAD /v1/images/ID   headers x-image-meta-NAME, empty or left out where v2 has null
 *
 *   id             of the image
 *   status         `active`: it has bytes. `queued`, `saving`, `killed`, `deactivated` and more: none, or none for us
 *   size           bytes as they are stored; null if not known
 *   checksum       MD5 of them; null if not known
 *   os_hash_algo   v2, since 2018: the name that Python's hashlib has for another digest, `sha512` by default
 *   os_hash_value  that digest
 *
 * `virtual_size` is not used: Glance takes the stored size of anything that is called raw for it, compressed or not, and has none
 * for a disk inside of a tar.
 */

import { createHash } from 'node:crypto';
import { MiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import type { HttpAnswer } from '../http/exchange.ts';
import { redactUrl } from '../http/url.ts';
import type { Digest } from '../source/source.ts';

export interface Metadata {
  /** Bytes, where the service knows. */
  readonly length: number | undefined;
  /** Of the bytes as they are stored. */
  readonly digest: Digest | undefined;
}

type Fields = ReadonlyMap<string, unknown>;

/** An honest answer has a few KiB, with all its properties. */
const MAX_ANSWER_BYTES = MiB;

/** Throws GLANCE_ANSWER, and what reading the body does. */
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
    // Its error would show a part of the answer, and a server can send back what it was sent.
    throw answerError(redactUrl(url), 'is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw answerError(redactUrl(url), 'is not a JSON object');
  return new Map<string, unknown>(Object.entries(value));
}

/** Version 1 gives the size 0 to an image elsewhere whose size it could not find out. */
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

/** Of the image with this `id`; `where` they come from, for messages. Throws GLANCE_STATUS and GLANCE_ANSWER. */
export function metadataOf(fields: Fields, id: string, where: string): Metadata {
  const text = (name: string): string | undefined => {
    const value = fields.get(name) ?? undefined;
    if (value !== undefined && typeof value !== 'string') throw answerError(where, `has a ${name} that is no text`);
    return value;
  };

  if (text('id')?.toLowerCase() !== id.toLowerCase()) throw answerError(where, 'is not about this image');
  const status = text('status') ?? '';
  if (!/^[a-z_]{1,32}$/.test(status)) throw answerError(where, 'does not tell the status of the image');
  if (status !== 'active') throw new VdiStreamError('GLANCE_STATUS', `glance image ${id} is not active, but ${status}`);

  const length = fields.get('size') ?? undefined;
  if (length !== undefined && !isSize(length)) throw answerError(where, 'has a size that cannot be');
  const hash = digestOf(where, 'os_hash_value', text('os_hash_algo')?.replace('_', '-'), text('os_hash_value'));
  const digest = hash ?? digestOf(where, 'checksum', 'md5', text('checksum'));
  return { length, digest };
}

const isSize = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/** Undefined where there is none, or none that can be made here. */
function digestOf(where: string, name: string, algorithm: string | undefined, value: string | undefined): Digest | undefined {
  const length = algorithm === undefined ? undefined : digestLength(algorithm);
  if (algorithm === undefined || value === undefined || length === undefined) return undefined;
  const hex = value.toLowerCase();
  if (hex.length !== 2 * length || !/^[0-9a-f]+$/.test(hex)) throw answerError(where, `has a ${name} that is no ${algorithm}`);
  return { algorithm, hex };
}

/** Bytes; undefined where the algorithm is not known here, or not allowed, as MD5 may be. */
function digestLength(algorithm: string): number | undefined {
  try {
    return createHash(algorithm).digest().length;
  } catch {
    return undefined;
  }
}

const answerError = (where: string, what: string): VdiStreamError => new VdiStreamError('GLANCE_ANSWER', `${where}: the answer ${what}`);
