/** Staged image: an image fetched whole before its first byte is used, so that it is seekable, and a failed download can start over. */

import type { FileHandle } from 'node:fs/promises';
import { checkOpener, checkPath } from '../arguments.ts';
import { truncated } from '../cursor.ts';
import { type ErrorCode, hasRemedy, throwIfCancelled, type VdiStreamError } from '../errors.ts';
import { cancellable } from '../host/cancel.ts';
import { fileSource } from './path.ts';
import type { Opener, Source, SourceIdentity, SourceOptions } from './source.ts';
import { folderError, namelessFile, prepareFolder, refuseFull, writeAll } from './staging.ts';

/**
 * Fetches the whole image into an unnamed file in `folder`, checks it, then opens it. Starts over, up to three times, after HTTP_RANGE,
 * HTTP_CHANGED or HTTP_DROPPED. Opening throws STAGING, CANCELLED, and the errors of opening and reading `from`.
 */
export function stagedImage(from: Opener, folder: string): Opener {
  checkOpener('stagedImage', from);
  checkPath('stagedImage', 'the folder', folder);
  const { name } = from;
  const store: ImageStore = { folder, code: 'STAGING', makeRoom: (length) => refuseFull('STAGING', folder, length) };
  return {
    name,
    async open({ sha256, signal, onWarning, onRead }) {
      try {
        await prepareFolder(folder);
      } catch (cause) {
        throw storeError(store, cause);
      }
      let identity: SourceIdentity | undefined;
      const open = async (): Promise<Source> => {
        const source = await from.open({ sha256, signal, onWarning, onRead });
        ({ identity } = source);
        return source;
      };
      const copy = await fetchUnnamed({ name, open, signal, onRead }, store);
      return { ...copy, identity };
    },
    identify: async (options) => from.identify?.(options),
  };
}

/** The folder that a fetched image is written to. */
export interface ImageStore {
  readonly folder: string;
  /** The error code for problems with the folder. */
  readonly code: ErrorCode;
  /** Called before the first byte if the length is known, in bytes. Throws `code`. */
  makeRoom(length: number): Promise<void>;
}

/** An image to fetch, with the options for reading its copy. */
export interface RemoteImage extends Pick<SourceOptions, 'signal' | 'onRead'> {
  readonly name: string;
  open(): Promise<Source>;
}

/** Fetches into an unnamed file in a prepared folder. Throws what opening a `stagedImage` does. */
export function fetchUnnamed(image: RemoteImage, store: ImageStore): Promise<Source> {
  return fetchAnew(image.signal, async () => {
    let file: FileHandle | undefined;
    try {
      file = await namelessFile(store.folder);
      await fetchInto(file, image, store);
      return await copySource(file, image, store);
    } catch (cause) {
      await file?.close();
      throw storeError(store, cause);
    }
  });
}

/**
 * Copies the image into `file` and compares its checksums. Calls `onChunk` with all bytes in order. Resolves with the length in bytes.
 */
export async function fetchInto(
  file: FileHandle,
  { open, signal }: RemoteImage,
  store: ImageStore,
  onChunk?: (chunk: Uint8Array) => void,
): Promise<number> {
  const source = await open();
  try {
    const { length } = source.cursor;
    if (length !== undefined) await store.makeRoom(length);
    const chunks = source.cursor.chunks();
    let written = 0;
    for await (const chunk of signal === undefined ? chunks : cancellable(chunks, signal)) {
      onChunk?.(chunk);
      await writeAll(file, chunk, written);
      written += chunk.length;
    }
    await source.finish();
    if (length !== undefined && written < length) throw truncated(written);
    throwIfCancelled(signal);
    await file.datasync(); // or data lost on a bad disk or a full thin volume would read as zeros
    return written;
  } finally {
    await source.close();
  }
}

/** The copy as a source, under the name of the original. It owns `file`. */
export async function copySource(file: FileHandle, { name, signal, onRead }: RemoteImage, { folder }: ImageStore): Promise<Source> {
  return { ...fileSource(file, await file.stat(), `${name} (kept in ${folder})`, { signal, onRead }), name };
}

export const storeError = ({ code, folder }: ImageStore, cause: unknown): VdiStreamError =>
  folderError(code, `cannot store the image in ${folder}`, cause);

const MAX_RESTARTS = 3;

/** Runs `fetch` again while its error has the remedy `anew`; `fetch` leaves nothing in the folder when it fails. */
export async function fetchAnew<T>(signal: AbortSignal | undefined, fetch: () => Promise<T>): Promise<T> {
  for (let restarts = 0; ; restarts++) {
    throwIfCancelled(signal);
    try {
      return await fetch();
    } catch (error) {
      if (restarts === MAX_RESTARTS || !hasRemedy(error, 'source', 'anew')) throw error;
    }
  }
}
