/** Upload: from devices, files and VDIs, or from an image that exists, to an image service. */

import { checkDisks, checkOptions, checkPath, checkText } from '../arguments.ts';
import { VdiStreamError } from '../errors.ts';
import { askInTurn, baseOf } from '../glance/endpoint.ts';
import { checkImageId, type ImageAttributes } from '../glance/record.ts';
import { type GlancePlace, readyImage, type StoredImage } from '../glance/upload.ts';
import type { SinkOpener } from '../sink/sink.ts';
import { type OnWarning, type Warning, warner } from '../warnings.ts';
import { createImage, type ImageService, removeImage } from './created-image.ts';
import { exportDisk } from './export.ts';
import { applianceName } from './export-form.ts';
import type { DisksInput, ExportedDisk } from './export-options.ts';
import { stopwatch } from './job.ts';
import { openSource } from './open.ts';
import { exporting, type OnProgress } from './progress.ts';
import { send } from './send.ts';
import { formatsOf, formatsOfImage, uploadForm } from './upload-form.ts';
import type { UploadImageOptions, UploadResult } from './upload-options.ts';

/**
 * Uploads an image of disks, or with `asIs` the image in a file, to the record `id` of an image service, which must be queued. Without an
 * `id`, it creates the record, and removes it again if the upload fails.
 *
 * Tries the endpoints in turn, each time from the first byte. Resolves only when the image is active, and its size and checksum are those of
 * what was sent.
 */
export async function uploadImage(given: DisksInput, id: string | undefined, options: UploadImageOptions): Promise<UploadResult> {
  checkDisks('uploadImage', given);
  checkOptions('uploadImage', options);
  if (id !== undefined) {
    checkText('uploadImage', 'the image id', id);
    checkImageId(id);
  }
  const service = serviceOf(options);
  const { asIs = false, raw = false, signal, onWarning, name, visibility, properties, diskFormat, containerFormat } = options;
  const seconds = stopwatch();
  const warnings: Warning[] = [];
  const warn = warner(warnings, { onWarning });
  const path = asIs ? pathOf(given) : undefined;
  const formats =
    diskFormat !== undefined && containerFormat !== undefined
      ? { diskFormat, containerFormat }
      : path === undefined
        ? formatsOf(uploadForm(options))
        : await formatsOfImage(path, raw, signal);
  const attributes: ImageAttributes = {
    diskFormat: diskFormat ?? formats.diskFormat,
    containerFormat: containerFormat ?? formats.containerFormat,
    visibility,
    properties,
  };
  const image = id ?? (await createImage(service, { name, attributes, signal, warn }));
  const write: Write = (sink, onWarning) =>
    path === undefined ? sendDisks(given, sink, options, onWarning) : sendFile(path, sink, { ...pickProgress(options), onWarning });
  try {
    const uploaded = await upload(service, image, { attributes, options, warn, write });
    return {
      image,
      created: id === undefined,
      diskFormat: attributes.diskFormat,
      containerFormat: attributes.containerFormat,
      ...uploaded,
      seconds: seconds(),
      warnings,
    };
  } catch (error) {
    if (id === undefined) await removeImage(service, image, error);
    throw error;
  }
}

const pickProgress = ({ signal, onProgress }: UploadImageOptions) => ({ signal, onProgress });

/** Throws USAGE. */
function serviceOf({ endpoints, version = 2, headers, ca, connectTimeout, idleTimeout, retries }: UploadImageOptions): ImageService {
  if (endpoints.length === 0) throw new VdiStreamError('USAGE', 'an upload needs the endpoint of an image service');
  return { endpoints: endpoints.map(baseOf), version, http: { headers, ca, connectTimeout, idleTimeout }, retries };
}

/** Throws USAGE unless it is one file, which can be read again for each attempt. */
function pathOf(given: DisksInput): string {
  const [path, ...others] = [given].flat();
  if (typeof path !== 'string' || path === '-' || others.length > 0) {
    throw new VdiStreamError('USAGE', 'an image that is sent as it is must be one file');
  }
  checkPath('uploadImage', 'the image', path);
  return path;
}

interface Sent {
  readonly disks: readonly ExportedDisk[];
  readonly bytesWritten: number;
}

/** Makes the image, and writes it to a sink. */
type Write = (sink: SinkOpener, onWarning: OnWarning) => Promise<Sent>;

interface Uploading {
  readonly attributes: ImageAttributes;
  readonly options: UploadImageOptions;
  readonly warn: OnWarning;
  readonly write: Write;
}

type Uploaded = Pick<UploadResult, 'endpoint' | 'disks' | 'bytesWritten' | 'sha512' | 'compared'>;

async function upload(
  { endpoints, version, http, retries }: ImageService,
  id: string,
  { attributes, options, warn, write }: Uploading,
): Promise<Uploaded> {
  const { store, answerTimeout, settleTimeout, signal } = options;
  let hasSent = false;

  async function attempt(endpoint: string): Promise<Uploaded> {
    const place: GlancePlace = { endpoint, version, http };
    let stored: StoredImage | undefined;
    const sink = await readyImage(id, place, {
      attributes,
      store,
      answerTimeout,
      settleTimeout,
      repeated: hasSent,
      signal,
      onStored: (image) => {
        stored = image;
      },
    });
    hasSent = true;
    const { disks, bytesWritten } = await write(sink, warn);
    return {
      endpoint,
      disks,
      bytesWritten,
      sha512: stored?.digest?.algorithm === 'sha512' ? stored.digest.hex : undefined,
      compared: stored?.compared,
    };
  }

  // Only errors of the service are worth another attempt; those of the disks would come again.
  type Outcome = { readonly uploaded: Uploaded } | { readonly error: unknown };
  const ask = async (endpoint: string): Promise<Outcome> => {
    try {
      return { uploaded: await attempt(endpoint) };
    } catch (error) {
      if (isOfService(error)) throw error;
      return { error };
    }
  };
  const { answer } = await askInTurn(endpoints, ask, { retries, signal, onWarning: warn });
  if ('error' in answer) throw answer.error;
  return answer.uploaded;
}

const isOfService = (error: unknown): boolean => error instanceof VdiStreamError && /^(?:HTTP|GLANCE|UPLOAD)_/.test(error.code);

async function sendDisks(given: DisksInput, sink: SinkOpener, options: UploadImageOptions, onWarning: OnWarning): Promise<Sent> {
  const { level, blockSize, align, singlePass, raw, rawBase, name, force, signal, onProgress, pool } = options;
  const { format, container, compress } = uploadForm(options);
  return exportDisk(given, sink, {
    format,
    container,
    compress,
    level,
    blockSize,
    align,
    singlePass,
    raw,
    rawBase,
    name: name === undefined ? undefined : applianceName(name),
    force,
    signal,
    onProgress,
    onWarning,
    pool,
  });
}

interface FileOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly onWarning: OnWarning;
}

async function sendFile(path: string, sink: SinkOpener, { signal, onProgress, onWarning }: FileOptions): Promise<Sent> {
  const source = await openSource(path, { signal, onWarning });
  try {
    const { length = 0 } = source.cursor;
    const chunks = exporting(source.cursor.chunks(), length, onProgress);
    const bytesWritten = await send(chunks, sink, { length: source.cursor.length, replace: true, signal, onWarning });
    return { disks: [], bytesWritten };
  } finally {
    await source.close();
  }
}
