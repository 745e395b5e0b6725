/** A path, or standard input, as a source: regular files and block devices are seekable, anything else is a stream. */

import { constants, fstatSync, openSync, type Stats } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { SECTOR } from '../bytes.ts';
import { messageOf, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { descriptorPath } from '../host/descriptor-path.ts';
import { deviceId, deviceStack, shareBytes } from '../host/device-stack.ts';
import { errnoOf } from '../host/errno.ts';
import { kernelText } from '../host/kernel-files.ts';
import { fileCursor } from './file.ts';
import { closers, type Source, type SourceIdentity, type SourceOptions } from './source.ts';
import { streamSource } from './stream.ts';

/** Opens a regular file, a FIFO or a device. With `sha256`, everything is a stream. Throws SOURCE_OPEN. */
export async function openPath(path: string, options: SourceOptions): Promise<Source> {
  return pathSource(path, path, options);
}

/** The identity of what is at a path; undefined for anything but a regular file. */
export async function identifyPath(path: string): Promise<SourceIdentity | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found && fileIdentity(path, found);
}

async function fileIdentity(path: string, found: Stats): Promise<SourceIdentity | undefined> {
  // What a device holds can change while its number and its times do not.
  if (!found.isFile()) return undefined;
  const real = await realpath(path).catch(() => undefined);
  return real === undefined ? undefined : ['file', real, String(found.size), String(found.mtimeMs)];
}

/** Throws SOURCE_OPEN. */
export async function openStandardInput(options: SourceOptions): Promise<Source> {
  // `vdistream write - DEV < image.ova`
  const found = fstatSync(0);
  // For a block device, process.stdin ends immediately (libuv, uv_guess_handle).
  const path = found.isFile() || found.isBlockDevice() ? await descriptorPath(0) : undefined;
  if (path !== undefined) return pathSource(path, 'standard input', options);
  return { ...nodeStreamSource('standard input', process.stdin, options, async () => {}), sharesBytesWith: sharing(found) };
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
    const size = found.isFile() ? found.size : await deviceSize(found);
    if (size === undefined) {
      return { ...nodeStreamSource(name, file.createReadStream({ autoClose: false }), streamOptions, closing(file)), sharesBytesWith };
    }
    const identity = await fileIdentity(path, found);
    const source = seekableSource(file, { found, size }, name, { signal, onRead });
    if (sha256 === undefined) return { ...source, identity };
    // A checksum needs every byte in order.
    return {
      ...streamSource(name, source.cursor.chunks(), streamOptions, { length: size, close: source.close }),
      sharesBytesWith,
      identity,
    };
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
export const fileSource = (file: FileHandle, found: Stats, name: string, options: Pick<SourceOptions, 'onRead' | 'signal'>): Source =>
  seekableSource(file, { found, size: found.size }, name, options);

/** Reads through the page cache: the parts of an image lie at any byte, and a device of 4096-byte sectors may hold a footer of 512. */
function seekableSource(
  file: FileHandle,
  { found, size }: { readonly found: Stats; readonly size: number },
  name: string,
  { onRead, signal }: Pick<SourceOptions, 'onRead' | 'signal'>,
): Source {
  let read = 0;
  const count = (bytes: number): void => {
    throwIfCancelled(signal);
    read += bytes;
    onRead?.(cursor.position, size);
  };
  const cursor = fileCursor(file, size, name, count, found.isBlockDevice());
  return { name, cursor, sharesBytesWith: sharing(found), bytesRead: () => read, finish: async () => {}, ...closers(closing(file)) };
}

/** In units of 512 bytes, whatever the sector (Documentation/ABI/stable/sysfs-block). Undefined for anything but a block device. */
async function deviceSize(found: Stats): Promise<number | undefined> {
  if (!found.isBlockDevice()) return undefined;
  const sectors = await kernelText(`/sys/dev/block/${deviceId(found.rdev)}/size`);
  return sectors === '' ? undefined : Number(sectors) * SECTOR;
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
