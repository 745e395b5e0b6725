/** The record of an image in Glance: where it is, and the requests that read, create, change and delete it. */

import { VdiStreamError } from '../errors.ts';
import type { Http } from '../http/client.ts';
import type { HttpAnswer, Method } from '../http/exchange.ts';
import { uploadError } from '../http/upload-status.ts';
import { redactUrl } from '../http/url.ts';
import { baseOf } from './endpoint.ts';
import { fieldsOfHeaders, fieldsOfJson, type ImageRecord, recordOf } from './metadata.ts';

export type ApiVersion = 1 | 2;

/** What an image is, for those that use it. */
export interface ImageAttributes {
  /** As Glance has them: `vhd`, `raw` and others; for a VHD in a tar.gz, as Nova uploads it, `vhd` and `ovf`. */
  readonly diskFormat: string;
  readonly containerFormat: string;
  readonly visibility?: Visibility | undefined;
  /** Further properties. */
  readonly properties?: Readonly<Record<string, string>> | undefined;
}

export const VISIBILITIES = ['private', 'shared', 'community', 'public'] as const;
export type Visibility = (typeof VISIBILITIES)[number];

/** Throws USAGE. */
export function checkImageId(id: string): void {
  // "." and ".." would change the path.
  if (/^[^/\p{C}]{1,255}$/u.test(id) && !/^\.\.?$/.test(id)) return;
  throw new VdiStreamError('USAGE', 'an image id must have 1 to 255 characters, without "/" or control characters');
}

/** Throws USAGE. */
export const imageAddress = (endpoint: string, version: ApiVersion, id: string): string =>
  `${baseOf(endpoint)}/v${version}/images/${encodeURIComponent(id)}`;

interface Reading {
  readonly address: string;
  readonly version: ApiVersion;
  readonly id: string;
  readonly signal: AbortSignal | undefined;
  readonly errorOf: (where: string, status: number) => VdiStreamError;
}

/** Throws GLANCE_ANSWER, HTTP_… and CANCELLED. */
export async function readRecord(http: Http, { address, version, id, signal, errorOf }: Reading): Promise<ImageRecord> {
  const answer = await http.request(address, { method: version === 1 ? 'HEAD' : 'GET', signal });
  try {
    const where = redactUrl(answer.url);
    if (answer.status !== 200) throw errorOf(where, answer.status);
    return recordOf(version === 1 ? fieldsOfHeaders(answer) : await fieldsOfJson(answer), id, where);
  } finally {
    await answer.close();
  }
}

const JSON_PATCH = 'application/openstack-images-v2.1-json-patch';

/** Version 2. Throws as an upload does for its status. */
export async function changeRecord(http: Http, address: string, attributes: ImageAttributes, signal?: AbortSignal): Promise<void> {
  // RFC 6901, 3: the two characters that a JSON pointer has to escape.
  const path = (name: string): string => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  const operations = Object.entries(fieldsOf(attributes)).map(([name, value]) => ({ op: 'add', path: path(name), value }));
  await change(http, 'PATCH', address, { type: JSON_PATCH, json: operations, expected: [200], signal });
}

/**
 * Creates the record of an image without data. The id is the caller's, so that a request whose answer was lost can be repeated: a 409 then
 * means that it is there.
 */
export async function createRecord(
  http: Http,
  endpoint: string,
  { id, name, attributes, signal }: { id: string; name: string | undefined; attributes: ImageAttributes; signal?: AbortSignal | undefined },
): Promise<void> {
  const json = { id, ...(name !== undefined && { name }), ...fieldsOf(attributes) };
  await change(http, 'POST', `${baseOf(endpoint)}/v2/images`, { type: 'application/json', json, expected: [201, 409], signal });
}

/** One that is gone already is no error. */
export async function deleteRecord(http: Http, address: string): Promise<void> {
  await change(http, 'DELETE', address, { expected: [204, 404] });
}

const fieldsOf = ({ diskFormat, containerFormat, visibility, properties = {} }: ImageAttributes): Readonly<Record<string, string>> => ({
  container_format: containerFormat,
  disk_format: diskFormat,
  ...(visibility !== undefined && { visibility }),
  ...properties,
});

interface Change {
  readonly type?: string;
  readonly json?: unknown;
  readonly expected: readonly number[];
  readonly signal?: AbortSignal | undefined;
}

async function change(http: Http, method: Method, address: string, { type, json, expected, signal }: Change): Promise<HttpAnswer> {
  const answer = await http.request(address, {
    method,
    signal,
    ...(json !== undefined && { body: Buffer.from(JSON.stringify(json)) }),
    ...(type !== undefined && { headers: { 'content-type': type } }),
  });
  await answer.close();
  if (!expected.includes(answer.status)) throw uploadError(redactUrl(address), answer.status, { length: 0 });
  return answer;
}

/** Version 1 has no request of its own for attributes: they are headers of the upload. */
export function attributeHeaders({ diskFormat, containerFormat, visibility, properties = {} }: ImageAttributes): Record<string, string> {
  const own = Object.entries(properties).map(([name, value]) => [`x-image-meta-property-${name.replaceAll('_', '-')}`, value]);
  return {
    'x-image-meta-is-public': visibility === 'public' ? 'True' : 'False',
    'x-image-meta-status': 'queued',
    'x-image-meta-disk-format': diskFormat,
    'x-image-meta-container-format': containerFormat,
    'x-glance-registry-purge-props': 'False',
    ...Object.fromEntries(own),
  };
}
