/** An image in Glance, OpenStack's image service, as a source. */

import { checkOptions, checkText } from '../arguments.ts';
import { VdiStreamError } from '../errors.ts';
import { createHttp, type Http, type HttpOptions, statusError } from '../http/client.ts';
import { httpImage } from '../http/download.ts';
import type { Description, Opener, SourceOptions } from '../source/source.ts';
import type { OnWarning } from '../warnings.ts';
import { type Answered, askInTurn } from './endpoint.ts';
import { type Metadata, metadataOf } from './metadata.ts';
import { checkImageId, imageAddress, readRecord } from './record.ts';

export interface GlanceOptions extends HttpOptions {
  /** Base URLs, such as http://10.0.0.1:9292, tried in turn; a path is kept, a trailing /v1 or /v2 dropped. */
  readonly endpoints: readonly string[];
  /** API version: 2 by default; 1 for old services. */
  readonly version?: 1 | 2 | undefined;
}

/**
 * The Glance image with this `id` as a source. Throws USAGE. Opening throws GLANCE_STATUS for an image that is not active, GLANCE_ANSWER,
 * SOURCE_EMPTY if the service has lost the image data, HTTP_… and CANCELLED. Reading compares length and digest: HTTP_CHANGED,
 * SOURCE_CHECKSUM.
 */
export function glanceImage(id: string, options: GlanceOptions): Opener {
  checkText('glanceImage', 'the image id', id);
  checkOptions('glanceImage', options);
  const { endpoints, version = 2, headers, ca, connectTimeout, idleTimeout, retries } = options;
  checkImageId(id);
  if (endpoints.length === 0) throw new VdiStreamError('USAGE', 'a Glance image needs an endpoint');
  const addresses = endpoints.map((endpoint) => imageAddress(endpoint, version, id));
  const name = `glance image ${id}`;

  async function ask(http: Http, address: string, signal: AbortSignal | undefined): Promise<Metadata> {
    return metadataOf(await readRecord(http, { address, version, id, signal, errorOf: statusError }), id);
  }

  /** Callers that have heard of a digest that is not compared: a cache asks twice. */
  const warned = new WeakSet<OnWarning>();
  function warnOnce({ uncompared, digest }: Metadata, onWarning: OnWarning): void {
    if (uncompared === undefined || warned.has(onWarning)) return;
    warned.add(onWarning);
    const rest = digest === undefined ? 'so the image is not compared' : `so only its ${digest.algorithm} is compared`;
    onWarning({ code: 'GLANCE_UNCOMPARED', message: `${name}: the ${uncompared} of the service cannot be computed here, ${rest}` });
  }

  async function find(signal: AbortSignal | undefined, onWarning: OnWarning | undefined): Promise<Answered<Metadata>> {
    const http = createHttp({ headers, ca, connectTimeout, idleTimeout, retries });
    try {
      const found = await askInTurn(addresses, (address) => ask(http, address, signal), { retries, signal, onWarning });
      if (onWarning !== undefined) warnOnce(found.answer, onWarning);
      return found;
    } finally {
      await http.close();
    }
  }

  /** The data of an image cannot change once it is active. Without a digest, it could be of another service with the same id. */
  function described({ length, digest }: Metadata): Description {
    const identity = digest === undefined ? undefined : ['glance', id.toLowerCase(), String(length), digest.algorithm, digest.hex];
    return { length, digest, identity };
  }

  const describe = async ({ signal, onWarning }: SourceOptions): Promise<Description> => described((await find(signal, onWarning)).answer);

  return {
    name,
    describe,
    identify: async (options) => (await describe(options)).identity,
    async open({ sha256, signal, onWarning, onRead }) {
      const { answer, addresses: usable } = await find(signal, onWarning);
      const { length, digest } = answer;
      const urls = usable.map((address) => (version === 1 ? address : `${address}/file`));
      const file = httpImage(urls, { headers, ca, connectTimeout, idleTimeout, retries, length, digest });
      try {
        return { ...(await file.open({ sha256, signal, onWarning, onRead })), name, identity: described(answer).identity };
      } catch (cause) {
        throw lostBytes(name, cause);
      }
    },
  };
}

/** Glance responds with 204 (No Content) if an active image's file is missing from its store. */
const lostBytes = (name: string, cause: unknown): unknown =>
  cause instanceof VdiStreamError && cause.status === 204
    ? new VdiStreamError('SOURCE_EMPTY', `${name} is active, but the service has no data for it`, { status: 204, cause })
    : cause;
