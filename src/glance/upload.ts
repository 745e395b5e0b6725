/** An image in Glance, OpenStack's image service, as a sink. */

import { checkOptions, checkText } from '../arguments.ts';
import { VdiStreamError } from '../errors.ts';
import { createHttp, type Http, type HttpOptions } from '../http/client.ts';
import { httpSink } from '../http/upload.ts';
import { uploadError } from '../http/upload-status.ts';
import { redactUrl } from '../http/url.ts';
import type { Sink, SinkOpener } from '../sink/sink.ts';
import type { OnWarning } from '../warnings.ts';
import { askInTurn, baseOf } from './endpoint.ts';
import type { GlanceOptions } from './image.ts';
import type { ImageRecord } from './metadata.ts';
import { type ApiVersion, attributeHeaders, changeRecord, checkImageId, type ImageAttributes, imageAddress, readRecord } from './record.ts';
import { afterSaving, settle } from './settle.ts';
import { compareStored, runningSums, type SentSums } from './sums.ts';

export interface GlanceUploadOptions extends GlanceOptions, ImageAttributes, UploadWaits {
  /** The name of the store; by default the service chooses. */
  readonly store?: string | undefined;
}

interface UploadWaits {
  /** Milliseconds to wait for the response once the last byte is sent; 30 minutes by default, because the service writes to its store. */
  readonly answerTimeout?: number | undefined;
  /** Milliseconds to wait for the service to leave the status `saving` once an answer was lost; 5 minutes by default. */
  readonly settleTimeout?: number | undefined;
}

const SETTLE_TIMEOUT = 5 * 60_000;

/** What the service has stored. */
export interface StoredImage extends SentSums {
  /** The algorithm by which it was compared with what was sent; undefined if there was none that both sides have. */
  readonly compared: string | undefined;
}

/**
 * The image with this `id`, which must be queued, as a sink. Opening reads its record and sets its attributes, at the first endpoint that
 * answers. Nothing is sent twice: to repeat a failed upload, open the sink again. Opening and writing throw USAGE, GLANCE_NOT_QUEUED,
 * GLANCE_ANSWER, UPLOAD_…, HTTP_… and CANCELLED. Finishing waits until the image is active, and compares what the service has stored with
 * what was sent: UPLOAD_CHECKSUM, UPLOAD_UNKNOWN.
 */
export function glanceSink(id: string, options: GlanceUploadOptions): SinkOpener {
  checkText('glanceSink', 'the image id', id);
  checkOptions('glanceSink', options);
  checkImageId(id);
  const { endpoints, version, headers, ca, connectTimeout, idleTimeout, retries, answerTimeout, settleTimeout, store } = options;
  const { diskFormat, containerFormat, visibility, properties } = options;
  const attributes = { diskFormat, containerFormat, visibility, properties };
  const addresses = endpoints.map(baseOf);
  const http = { headers, ca, connectTimeout, idleTimeout };
  return {
    name: imageName(id),
    readable: false,
    async open({ length, replace, signal, onWarning }) {
      const ready = (endpoint: string): Promise<SinkOpener> =>
        readyImage(id, { endpoint, version, http }, { attributes, store, answerTimeout, settleTimeout, signal });
      const { answer } = await askInTurn(addresses, ready, { retries, signal, onWarning });
      return answer.open({ length, replace, signal, onWarning });
    },
  };
}

const imageName = (id: string): string => `glance image ${id}`;

/** One endpoint of the service. */
export interface GlancePlace {
  readonly endpoint: string;
  readonly version?: ApiVersion | undefined;
  readonly http: HttpOptions;
}

interface ReadyOptions extends UploadWaits {
  readonly attributes: ImageAttributes;
  readonly store?: string | undefined;
  /** An earlier attempt may have left the image in the status `saving`: wait until the service has noticed that it failed. */
  readonly repeated?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onStored?: ((stored: StoredImage) => void) | undefined;
}

/** The image is queued, and its attributes are set: only its data is missing, for which the opener is. */
export async function readyImage(id: string, place: GlancePlace, options: ReadyOptions): Promise<SinkOpener> {
  const { endpoint, version = 2, http: httpOptions } = place;
  const { attributes, store, repeated = false, settleTimeout = SETTLE_TIMEOUT, answerTimeout, signal, onStored } = options;
  const address = imageAddress(endpoint, version, id);
  const name = imageName(id);
  const { headers, ca, connectTimeout, idleTimeout } = httpOptions;
  const errorOf = (where: string, status: number): VdiStreamError => uploadError(where, status, { length: 0 });

  async function withHttp<T>(use: (http: Http) => Promise<T>): Promise<T> {
    const http = createHttp({ headers, ca, connectTimeout, idleTimeout });
    try {
      return await use(http);
    } finally {
      await http.close();
    }
  }
  const read = (): Promise<ImageRecord> => withHttp((http) => readRecord(http, { address, version, id, signal, errorOf }));

  const before = repeated ? await afterSaving(read, { timeout: settleTimeout, signal }) : await read();
  if (before.status !== 'queued') {
    throw new VdiStreamError('GLANCE_NOT_QUEUED', `cannot upload data for image ${id} as the image status is ${before.status}, not queued`);
  }
  if (version === 2) await withHttp((http) => changeRecord(http, address, attributes, signal));

  return {
    name,
    readable: false,
    async open({ length, signal: sending, onWarning }) {
      const put = httpSink(version === 1 ? address : `${address}/file`, {
        headers: {
          ...(version === 1 && attributeHeaders(attributes)),
          ...(version === 2 && length !== undefined && { 'x-openstack-image-size': String(length) }),
          ...(store !== undefined && { 'x-image-meta-store': store }),
          ...headers,
        },
        ca,
        connectTimeout,
        idleTimeout,
        answerTimeout,
        expected: [version === 1 ? 200 : 204],
      });
      return storingSink(await put.open({ length, replace: true, signal: sending }), {
        name: `${name} at ${redactUrl(address)}`,
        before,
        settled: (lost) => settle(name, read, { lost, timeout: settleTimeout, signal: sending }),
        onWarning,
        onStored,
      });
    },
  };
}

interface Storing {
  readonly name: string;
  /** The record while it is queued. */
  readonly before: ImageRecord;
  /** See `settle`. */
  readonly settled: (lost: VdiStreamError | undefined) => Promise<ImageRecord | undefined>;
  readonly onWarning: OnWarning | undefined;
  readonly onStored: ((stored: StoredImage) => void) | undefined;
}

/** Computes the checksums of what `put` sends, and compares them once the service has stored it. */
function storingSink(put: Sink, { name, before, settled, onWarning, onStored }: Storing): Sink {
  const sums = runningSums(before);
  return {
    async write(bytes) {
      // Both end before the bytes may change.
      const [sent, hashed] = await Promise.allSettled([put.write(bytes), sums.update(bytes)]);
      if (sent.status === 'rejected') throw explained(name, sent.reason);
      if (hashed.status === 'rejected') throw hashed.reason;
    },
    async finish() {
      const lost = await outcomeOf(name, put.finish());
      const record = await settled(lost);
      const sent = sums.finish();
      if (record === undefined) {
        const message = `${name}: the token expired once the image was stored, so what the service has was not compared`;
        onWarning?.({ code: 'UPLOAD_UNCOMPARED', message });
      }
      const compared = record && compareStored(name, record, sent, onWarning);
      if (lost !== undefined) {
        onWarning?.({ code: 'UPLOAD_ANSWER_LOST', message: `${name} is active, although its answer was lost: ${lost.message}` });
      }
      onStored?.({ ...sent, compared });
    },
    abandon: () => put.abandon(),
  };
}

/** An answer that was lost, or that came from something in front of the service, says nothing about the image. Throws a refusal. */
async function outcomeOf(name: string, finishing: Promise<void>): Promise<VdiStreamError | undefined> {
  try {
    await finishing;
    return undefined;
  } catch (error) {
    const problem = explained(name, error);
    if (problem instanceof VdiStreamError && problem.retryable && problem.code !== 'CANCELLED') return problem;
    throw problem;
  }
}

/** What the statuses of an upload mean to Glance (glance/api/v2/image_data.py). */
const REASONS = new Map([
  [400, 'it rejects the formats, the size or the store of the image'],
  [401, 'the token has expired; if it expired during the upload, the service has deleted the image'],
  [409, 'the image is no longer queued'],
  [410, 'the image was deleted meanwhile, or its store accepts no images'],
  [413, 'the store is full, or a quota or the limit image_size_cap is exceeded'],
  [415, 'the content is not what the disk format of the image says'],
  [503, 'the store accepts no images at present'],
]);

function explained(name: string, error: unknown): unknown {
  if (!(error instanceof VdiStreamError) || error.status === undefined) return error;
  const { status } = error;
  const reason = REASONS.get(status);
  const code = status === 409 ? 'GLANCE_NOT_QUEUED' : error.code;
  return new VdiStreamError(code, `${name}: HTTP status ${status}${reason === undefined ? '' : `: ${reason}`}`, { status, cause: error });
}
