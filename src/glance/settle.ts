/** Settling: what became of an upload, which only the record of the image says. */

import { setTimeout as sleep } from 'node:timers/promises';
import { VdiStreamError } from '../errors.ts';
import { pauseAfter } from '../host/backoff.ts';
import { orCancelled } from '../host/cancel.ts';
import type { ImageRecord } from './metadata.ts';

interface Waiting {
  /** Milliseconds. */
  readonly timeout: number;
  /** Also while the service cannot be reached. */
  readonly persistent?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** In these, the service is still working on the data. */
const BUSY = ['saving', 'uploading', 'importing'];
const GONE = ['deleted', 'pending_delete'];

/** Reads the record until the service is no longer working on the data, or the time is up. Throws the last error of reading it. */
export async function afterSaving(
  read: () => Promise<ImageRecord>,
  { timeout, persistent = false, signal }: Waiting,
): Promise<ImageRecord> {
  const deadline = performance.now() + timeout;
  for (let round = 1; ; round++) {
    const pause = Math.min(pauseAfter(round), deadline - performance.now());
    try {
      const record = await read();
      if (!BUSY.includes(record.status) || pause <= 0) return record;
    } catch (error) {
      const isPassing = persistent && error instanceof VdiStreamError && error.retryable && error.code !== 'CANCELLED';
      if (!isPassing || pause <= 0) throw error;
    }
    await orCancelled(sleep(Math.max(pause, 1), undefined, signal && { signal }), signal);
  }
}

interface Settling extends Waiting {
  /** The error in place of the answer to the upload; undefined if the service said that it has stored the image. */
  readonly lost: VdiStreamError | undefined;
}

/**
 * The record of the image, once it is active; undefined if the service has stored the image, but the token has expired since. Throws `lost`
 * if the image is queued again, or if the service cannot be reached any more; UPLOAD_UNKNOWN, HTTP_NOT_FOUND, UPLOAD_REFUSED, CANCELLED.
 */
export async function settle(
  name: string,
  read: () => Promise<ImageRecord>,
  { lost, timeout, signal }: Settling,
): Promise<ImageRecord | undefined> {
  let record: ImageRecord;
  try {
    record = await afterSaving(read, { timeout, persistent: true, signal });
  } catch (error) {
    if (!(error instanceof VdiStreamError) || error.code === 'CANCELLED') throw error;
    if (error.status === 401) {
      if (lost === undefined) return undefined;
      throw new VdiStreamError('UPLOAD_UNKNOWN', `${name}: the answer was lost, and since then the token has expired`, { cause: lost });
    }
    if (!error.retryable) throw error;
    throw (
      lost ??
      new VdiStreamError('UPLOAD_UNKNOWN', `${name}: the service accepted it, but no longer answers: ${error.message}`, { cause: error })
    );
  }
  const { status } = record;
  if (status === 'active') return record;
  if (GONE.includes(status)) throw new VdiStreamError('HTTP_NOT_FOUND', `${name} was deleted during the upload`, { cause: lost });
  if (BUSY.includes(status)) {
    throw new VdiStreamError('UPLOAD_UNKNOWN', `${name} is still ${status} after ${timeout / 1000} s`, { cause: lost });
  }
  if (status === 'queued') {
    throw lost ?? new VdiStreamError('HTTP_SERVER', `${name} is queued again, although the service accepted it`);
  }
  throw new VdiStreamError('UPLOAD_REFUSED', `${name} is ${status} after the upload`, { cause: lost });
}
