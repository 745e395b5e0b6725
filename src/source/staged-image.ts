/** Staged image: an image that is fetched whole before its first byte is used, so that it can be read at random, and fetched again if need be. */

import type { FileHandle } from 'node:fs/promises';
import { truncated } from '../cursor.ts';
import { type ErrorCode, hasRemedy, throwIfCancelled, type VdiStreamError } from '../errors.ts';
import { cancellable } from '../host/cancel.ts';
import { fileSource } from './path.ts';
import type { Opener, Source, SourceOptions } from './source.ts';
import { folderError, namelessFile, prepareFolder, refuseFull } from './staging.ts';

/**
 * Fetches the whole image into a file without a name in `folder` first, checks it, then opens that. Begins anew, up to three times, when
 * fetching ends with HTTP_RANGE, HTTP_CHANGED or HTTP_DROPPED. Opening throws STAGING, CANCELLED, and what opening and reading `from` does.
 */
export function stagedImage(from: Opener, folder: string): Opener {
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
      return fetchUnnamed({ name, open: () => from.open({ sha256, signal, onWarning, onRead }), signal, onRead }, store);
    },
  };
}

/** The folder that a fetched image is written to. */
export interface ImageStore {
  readonly folder: string;
  /** Of errors of the folder. */
  readonly code: ErrorCode;
  /** Called before the first byte, where the length is known, in bytes. Throws `code`. */
  makeRoom(length: number): Promise<void>;
}

/** An image to fetch, and how the copy of it is read then. */
export interface RemoteImage extends Pick<SourceOptions, 'signal' | 'onRead'> {
  readonly name: string;
  open(): Promise<Source>;
}

/** Into a file without a name, in a folder that has been prepared. Throws what `stagedImage` does when it opens. */
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
 * Copies the image into `file`, and finishes its source, which compares the checksums. `onChunk` is called with all bytes in order. Resolves
 * with the length in bytes.
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
    await file.datasync(); // or what a bad disk, or a thin volume without space, has not taken would be read as zeros
    return written;
  } finally {
    await source.close();
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** The copy of an image as a source, with the name of where it comes from. It owns `file`. */
export async function copySource(file: FileHandle, { name, signal, onRead }: RemoteImage, { folder }: ImageStore): Promise<Source> {
  return { ...fileSource(file, await file.stat(), `${name} (kept in ${folder})`, { signal, onRead }), name };
}

export const storeError = ({ code, folder }: ImageStore, cause: unknown): VdiStreamError =>
  folderError(code, `cannot keep the image in ${folder}`, cause);

const TIMES_ANEW = 3;

/** Runs `fetch` again as long as its error has the remedy `anew`; `fetch` leaves nothing behind when it fails. */
export async function fetchAnew<T>(signal: AbortSignal | undefined, fetch: () => Promise<T>): Promise<T> {
  for (let times = 0; ; times++) {
    throwIfCancelled(signal);
    try {
      return await fetch();
    } catch (error) {
      if (times === TIMES_ANEW || !hasRemedy(error, 'source', 'anew')) throw error;
    }
  }
}
