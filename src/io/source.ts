/** Source: where an image's bytes come from. A path, standard input, or anything that yields bytes. */

import { constants, fstatSync, openSync, type Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { Chunks, Cursor } from '../cursor.ts';
import { messageOf, throwIfCancelled, VdiStreamError, type Warn } from '../errors.ts';
import { httpImage } from './download.ts';
import { errnoOf } from './errno.ts';
import { fileCursor } from './file.ts';
import { closers, type Digest, streamSource } from './stream.ts';
import { isUrl } from './url.ts';

/** A path, a URL, `-` for standard input, bytes, or something that knows how to open itself, as an image of Glance does. */
export type SourceInput = string | Chunks | Opener;

export interface Opener {
  /** For messages; no credentials in it. */
  readonly name: string;
  /** Throws SOURCE_OPEN, or what its own kind says. Whoever gets a source closes it. */
  open(options: SourceOptions): Promise<Source>;
  /** What its bytes hash to and how many they are, where that can be known without reading them. */
  describe?(options: SourceOptions): Promise<{ readonly digest?: Digest | undefined; readonly length?: number | undefined }>;
}

export interface Source {
  /** For messages: the path, `standard input` or `stream`. */
  readonly name: string;
  readonly cursor: Cursor;
  /** Whether `path` is the very file that is being read: writing there would destroy the image. */
  isFile(path: string): Promise<boolean>;
  /** Bytes read so far. */
  bytesRead(): number;
  /** Reads what is left and compares the checksum, where one is known. Throws SOURCE_CHECKSUM. */
  finish(): Promise<void>;
  /** Whatever is opened on top of this source is closed with it, and before it. */
  own(close: () => Promise<void>): void;
  close(): Promise<void>;
}

export interface SourceOptions {
  /** Hexadecimal SHA-256 of all bytes of the source, as they are stored. */
  readonly sha256?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of what went wrong on the way and was made good: HTTP_RETRY. */
  readonly warn?: Warn | undefined;
  /** Called while reading: how far it has come, and the length, 0 where that is not known; bytes, of all sources together. */
  readonly onRead?: ((position: number, length: number) => void) | undefined;
}

/** Throws SOURCE_OPEN. Whoever gets a source closes it. */
export async function openSource(input: SourceInput, options: SourceOptions = {}): Promise<Source> {
  if (isOpener(input)) return input.open(options);
  if (typeof input !== 'string') {
    // A stream of Node that nobody has begun to read has no iterator to end.
    return streamSource('stream', input, options, { close: async () => void (input instanceof Readable && input.destroy()) });
  }
  if (isUrl(input)) return httpImage(input).open(options);
  if (input !== '-') return pathSource(input, input, options);
  // `vdistream write - DEV < image.ova` is a file like any other.
  if (fstatSync(0).isFile()) return pathSource('/proc/self/fd/0', 'standard input', options);
  return nodeStreamSource('standard input', process.stdin, options, async () => {});
}

/** Opens one source or several, and closes them whatever happens. Throws SOURCE_OPEN, or USAGE. */
export async function withSources<T>(
  input: SourceInput | readonly SourceInput[],
  options: SourceOptions,
  use: (sources: readonly Source[]) => Promise<T>,
): Promise<T> {
  const inputs = isSeveral(input) ? input : [input];
  if (inputs.length > 1 && options.sha256 !== undefined) {
    throw new VdiStreamError('USAGE', 'a SHA-256 is of one source, and there are several');
  }
  const sources: Source[] = [];
  const positions: number[] = [];
  const onRead = (index: number): SourceOptions['onRead'] =>
    options.onRead &&
    ((position) => {
      positions[index] = position;
      const lengths = sources.map(({ cursor }) => cursor.length ?? Number.NaN);
      options.onRead?.(sum(positions), sum(lengths) || 0);
    });
  try {
    for (const [index, one] of inputs.entries()) sources.push(await openSource(one, { ...options, onRead: onRead(index) }));
    return await use(sources);
  } finally {
    // What counts is told by then: by `use`, which finishes what it reads.
    for (const source of sources.reverse()) await source.close().catch(() => {});
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** A stream of Node may have an `open` too, but no opener is iterable. */
const isOpener = (input: SourceInput): input is Opener => typeof input !== 'string' && !(Symbol.asyncIterator in input);

/** Whether opening the same input once more gives the same bytes once more, although they are a stream. */
export const opensAgain = (input: SourceInput | readonly SourceInput[]): boolean => {
  const [one, ...others] = isSeveral(input) ? input : [input];
  return one !== undefined && others.length === 0 && (typeof one === 'string' ? isUrl(one) : isOpener(one));
};

const isSeveral = (input: SourceInput | readonly SourceInput[]): input is readonly SourceInput[] => Array.isArray(input);

async function pathSource(path: string, name: string, options: SourceOptions): Promise<Source> {
  let file: FileHandle | undefined;
  try {
    const named = await stat(path);
    if (named.isFIFO()) return { ...nodeStreamSource(name, openFifo(path), options, async () => {}), isFile: isSame(named) };
    file = await open(path, 'r');
    const found = await file.stat();
    if (found.isDirectory()) throw new VdiStreamError('SOURCE_OPEN', `${name} is a directory, not an image`);
    const isFile = isSame(found);
    if (!found.isFile()) {
      return { ...nodeStreamSource(name, file.createReadStream({ autoClose: false }), options, closing(file)), isFile };
    }
    const source = fileSource(file, found, name, options);
    if (options.sha256 === undefined) return source;
    // A checksum needs every byte in order, so jumping is over.
    return { ...streamSource(name, source.cursor.chunks(), options, { length: found.size, close: source.close }), isFile };
  } catch (cause) {
    await file?.close();
    if (cause instanceof VdiStreamError) throw cause;
    const reason = messageOf(cause);
    throw new VdiStreamError('SOURCE_OPEN', `cannot open ${name}: ${reason}`, { errno: errnoOf(cause), cause });
  }
}

/** To open one in the usual way waits for who writes to it, and so does each read, on a thread that no signal ends. */
function openFifo(path: string): Socket {
  return new Socket({ fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), readable: true, writable: false });
}

/** A regular file that is open already, and is closed with the source; `found` is its state. */
export function fileSource(file: FileHandle, found: Stats, name: string, { onRead, signal }: SourceOptions): Source {
  let read = 0;
  const cursor = fileCursor(file, found.size, name, (bytes) => {
    throwIfCancelled(signal);
    read += bytes;
    onRead?.(cursor.position, found.size);
  });
  return { name, cursor, isFile: isSame(found), bytesRead: () => read, finish: async () => {}, ...closers(closing(file)) };
}

const isSame =
  (found: Stats): Source['isFile'] =>
  async (path) =>
    sameFile(found, await stat(path).catch(() => undefined));

const sameFile = (a: Stats, b: Stats | undefined): boolean =>
  b !== undefined && ((a.dev === b.dev && a.ino === b.ino) || (a.isBlockDevice() && b.isBlockDevice() && a.rdev === b.rdev));

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
