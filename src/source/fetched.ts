/** Fetched: an image that is fetched whole before the first byte of it is used, so that it can be jumped through, and fetched again if need be. */

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
  return {
    name: from.name,
    async open(options) {
      const keeping = { code: 'STAGING', folder, makeRoom: (length: number) => refuseFull('STAGING', folder, length) } as const;
      try {
        await prepareFolder(folder);
      } catch (cause) {
        throw keepingError(keeping, cause);
      }
      return fetchUnnamed(from, options, keeping);
    },
  };
}

/** Where a fetched image goes. */
export interface Keeping {
  readonly folder: string;
  /** Of errors of the folder. */
  readonly code: ErrorCode;
  /** Called before the first byte, where the length is known. Throws `code`. */
  makeRoom(length: number): Promise<void>;
  /** Called with all bytes in order. */
  onChunk?(chunk: Uint8Array): void;
}

/** Into a file without a name, in a folder that has been prepared. */
export function fetchUnnamed(from: Opener, options: SourceOptions, keeping: Keeping): Promise<Source> {
  return fetchAnew(options, async () => {
    let file: FileHandle | undefined;
    try {
      file = await namelessFile(keeping.folder);
      await fetchInto(file, from, options, keeping);
      return await keptSource(file, from, options, keeping);
    } catch (cause) {
      await file?.close();
      throw keepingError(keeping, cause);
    }
  });
}

/** Copies the image into `file`, and finishes its source, which compares the checksums. Resolves with its length in bytes. */
export async function fetchInto(file: FileHandle, from: Opener, options: SourceOptions, keeping: Keeping): Promise<number> {
  const { signal } = options;
  const source = await from.open(options);
  try {
    const { length } = source.cursor;
    if (length !== undefined) await keeping.makeRoom(length);
    const chunks = source.cursor.chunks();
    let written = 0;
    for await (const chunk of signal === undefined ? chunks : cancellable(chunks, signal)) {
      keeping.onChunk?.(chunk);
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

/** What has been fetched, as a source with the name of where it comes from. It owns `file`. */
export async function keptSource(file: FileHandle, from: Opener, options: SourceOptions, { folder }: Keeping): Promise<Source> {
  return { ...fileSource(file, await file.stat(), `${from.name} (kept in ${folder})`, options), name: from.name };
}

export const keepingError = ({ code, folder }: Keeping, cause: unknown): VdiStreamError =>
  folderError(code, `cannot keep the image in ${folder}`, cause);

const TIMES_ANEW = 3;

/** Runs `fetch` again as long as it ends with what beginning anew can mend; `fetch` leaves nothing behind when it fails. */
export async function fetchAnew<T>({ signal }: SourceOptions, fetch: () => Promise<T>): Promise<T> {
  for (let times = 0; ; times++) {
    throwIfCancelled(signal);
    try {
      return await fetch();
    } catch (error) {
      if (times === TIMES_ANEW || !hasRemedy(error, 'source', 'anew')) throw error;
    }
  }
}
