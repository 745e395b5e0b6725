/** An image of a service that is created for an upload, and removed if that fails. */

import { randomUUID } from 'node:crypto';
import { messageOf, VdiStreamError } from '../errors.ts';
import { askInTurn } from '../glance/endpoint.ts';
import { type ApiVersion, createRecord, deleteRecord, type ImageAttributes, imageAddress } from '../glance/record.ts';
import { createHttp, type HttpOptions } from '../http/client.ts';
import type { OnWarning } from '../warnings.ts';

export interface ImageService {
  /** Base URLs, tried in turn. */
  readonly endpoints: readonly string[];
  readonly version: ApiVersion;
  readonly http: HttpOptions;
  readonly retries: number | undefined;
}

interface Creating {
  readonly name: string | undefined;
  readonly attributes: ImageAttributes;
  readonly signal: AbortSignal | undefined;
  readonly warn: OnWarning;
}

/** Returns the id. Throws USAGE, HTTP_… and UPLOAD_…. */
export async function createImage(service: ImageService, { name, attributes, signal, warn }: Creating): Promise<string> {
  const { endpoints, version, http: options, retries } = service;
  if (version === 1) throw new VdiStreamError('USAGE', 'version 1 of Glance cannot create an image for an upload: pass its id');
  const id = randomUUID();
  const http = createHttp(options);
  try {
    const ask = (endpoint: string): Promise<void> => createRecord(http, endpoint, { id, name, attributes, signal });
    await askInTurn(endpoints, ask, { retries, signal, onWarning: warn });
    return id;
  } catch (error) {
    // The request may have been carried out.
    if (error instanceof VdiStreamError && ['CANCELLED', 'HTTP_DROPPED', 'HTTP_SERVER'].includes(error.code)) {
      await removeImage(service, id, error);
    }
    throw error;
  } finally {
    await http.close();
  }
}

/** Never throws. The first error counts: `error`, in whose `left` is what could not be undone. */
export async function removeImage({ endpoints, version, http: options }: ImageService, id: string, error: unknown): Promise<void> {
  const http = createHttp(options);
  try {
    const ask = (endpoint: string): Promise<void> => deleteRecord(http, imageAddress(endpoint, version, id));
    await askInTurn(endpoints, ask, { retries: 1, signal: undefined, onWarning: undefined });
  } catch (cause) {
    if (error instanceof VdiStreamError) error.left.push(`glance image ${id} was not deleted: ${messageOf(cause)}`);
  } finally {
    await http.close();
  }
}
