/** A path, or standard input, as a source: regular files are seekable, anything else is a stream. */

import { constants, createReadStream, fstatSync, openSync, type Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { messageOf, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { deviceStack, shareBytes } from '../host/device-stack.ts';
import { errnoOf } from '../host/errno.ts';
import { fileCursor } from './file.ts';
import { closers, type Source, type SourceOptions } from './source.ts';
import { streamSource } from './stream.ts';

/** Opens a regular file, a FIFO or a device. With `sha256`, even a regular file is a stream. Throws SOURCE_OPEN. */
export async function openPath(path: string, options: SourceOptions): Promise<Source> {
  return pathSource(path, path, options);
}

/** Throws SOURCE_OPEN. */
export async function openStandardInput(options: SourceOptions): Promise<Source> {
  // `vdistream write - DEV < image.ova`
  const found = fstatSync(0);
  if (found.isFile()) return pathSource('/proc/self/fd/0', 'standard input', options);
  // For a block device, process.stdin ends immediately (libuv, uv_guess_handle).
  const stdin = found.isBlockDevice() ? createReadStream('', { fd: 0, autoClose: false }) : process.stdin;
  return { ...nodeStreamSource('standard input', stdin, options, async () => {}), sharesBytesWith: sharing(found) };
}

async function pathSource(path: string, name: string, { sha256, signal, onRead }: SourceOptions): Promise<Source> {
  const streamOptions = { sha256, signal, onRead };
  let file: FileHandle | undefined;
  try {
    const named = await stat(path);
    if (named.isFIFO()) return nodeStreamSource(name, openFifo(path), streamOptions, async () => {});
    file = await open(path, 'r');
    const found = await file.stat();
    if (found.isDirectory()) throw new VdiStreamError('SOURCE_OPEN', `${name} is a directory, not an image`);
    const sharesBytesWith = sharing(found);
    if (!found.isFile()) {
      return { ...nodeStreamSource(name, file.createReadStream({ autoClose: false }), streamOptions, closing(file)), sharesBytesWith };
    }
    const source = fileSource(file, found, name, { signal, onRead });
    if (sha256 === undefined) return source;
    // A checksum needs every byte in order.
    return { ...streamSource(name, source.cursor.chunks(), streamOptions, { length: found.size, close: source.close }), sharesBytesWith };
  } catch (cause) {
    await file?.close();
    if (cause instanceof VdiStreamError) throw cause;
    const reason = messageOf(cause);
    throw new VdiStreamError('SOURCE_OPEN', `cannot open ${name}: ${reason}`, { errno: errnoOf(cause), cause });
  }
}

/** Without O_NONBLOCK, opening a FIFO waits for a writer, and so does each read, on a thread that no signal can interrupt. */
function openFifo(path: string): Socket {
  return new Socket({ fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), readable: true, writable: false });
}

/** An open regular file, closed with the source; `found` is its fstat(2). */
export function fileSource(
  file: FileHandle,
  found: Stats,
  name: string,
  { onRead, signal }: Pick<SourceOptions, 'onRead' | 'signal'>,
): Source {
  let read = 0;
  const cursor = fileCursor(file, found.size, name, (bytes) => {
    throwIfCancelled(signal);
    read += bytes;
    onRead?.(cursor.position, found.size);
  });
  return { name, cursor, sharesBytesWith: sharing(found), bytesRead: () => read, finish: async () => {}, ...closers(closing(file)) };
}

/** Whether a path leads to the file or device that `found` is the fstat(2) of, or to one with the same bytes. */
export const sharing =
  (found: Stats): Source['sharesBytesWith'] =>
  async (path) => {
    const other = await stat(path).catch(() => undefined);
    const [source, target] = await Promise.all([found, other].map((stats) => stats && deviceStack(stats)));
    return source !== undefined && target !== undefined && shareBytes(source, target);
  };

const closing =
  (file: FileHandle): (() => Promise<void>) =>
  () =>
    file.close();

function nodeStreamSource(name: string, stream: Readable, options: SourceOptions, close: () => Promise<void>): Source {
  return streamSource(name, stream, options, {
    async close() {
      stream.destroy();
      await close();
    },
  });
}
