/** From a string to an opener: the one place that decides what is a path, a URL or `-`. */

import { Readable } from 'node:stream';
import { checkOpenedSource, checkOptions, checkPlace } from '../arguments.ts';
import { rejection, VdiStreamError } from '../errors.ts';
import { httpImage } from '../http/download.ts';
import { httpSink } from '../http/upload.ts';
import { isUrl, refuseScheme } from '../http/url.ts';
import { nbdDisk } from '../nbd/disk.ts';
import { isNbdUri } from '../nbd/uri.ts';
import { fileSink } from '../sink/file.ts';
import { nullSink } from '../sink/null.ts';
import type { SinkOpener } from '../sink/sink.ts';
import { standardOutput } from '../sink/stdout.ts';
import { identifyPath, openPath, openStandardInput } from '../source/path.ts';
import type { Opener, Source, SourceIdentity, SourceOptions } from '../source/source.ts';
import { streamSource } from '../source/stream.ts';
import { deviceTarget } from '../target/device.ts';
import { NULL_TARGET, nullTarget } from '../target/null.ts';
import type { TargetOpener } from '../target/target.ts';
import { withAdvice } from './advice.ts';
import { comparableTarget } from './comparable.ts';
import type { DiskSource } from './export-options.ts';
import { type SourceInput, sourceOf } from './input.ts';

/** The path of a device, a volume or a file, `null:`, the URI of an NBD export to compare with, or an opener. */
export type TargetInput = string | TargetOpener;

/** Throws USAGE for what is most likely a mistake. */
export function targetOpener(target: TargetInput): TargetOpener {
  checkPlace('targetOpener', 'the target', target);
  if (typeof target !== 'string') return target;
  if (target === '-') throw new VdiStreamError('USAGE', 'a disk cannot be written to standard output; for a file called "-", use ./-');
  if (target === 'null')
    throw new VdiStreamError('USAGE', 'did you mean null:, which discards everything? For a file called "null", use ./null');
  if (isNbdUri(target)) return comparableTarget(nbdDisk(target));
  refuseScheme(target, 'a disk is written to a device or a file');
  return target === NULL_TARGET ? nullTarget : deviceTarget(target);
}

/** What an export reads: an opener for a URI, else a path, whose kind is detected by content. Throws USAGE. */
export function diskSource(disk: DiskSource): DiskSource {
  if (typeof disk !== 'string') return disk;
  if (isNbdUri(disk)) return nbdDisk(disk);
  refuseScheme(disk, 'a disk is read from a device, a file or nbd://');
  return disk;
}

/** The path of a file, a URL for an HTTP PUT, `-` for standard output, `null:`, or an opener. */
export type SinkInput = string | SinkOpener;

/** Throws USAGE for what is most likely a mistake. */
export function sinkOpener(sink: SinkInput): SinkOpener {
  if (typeof sink !== 'string') return sink;
  if (sink === '-') return standardOutput;
  if (sink === 'null')
    throw new VdiStreamError('USAGE', 'did you mean null:, which discards everything? For a file called "null", use ./null');
  if (isUrl(sink)) return httpSink(sink);
  refuseScheme(sink, 'an image is sent to http:// or https://');
  return sink === NULL_TARGET ? nullSink : fileSink(sink);
}

/** Throws SOURCE_OPEN. The caller must close the source. */
export async function openSource(given: SourceInput, options: SourceOptions = {}): Promise<Source> {
  const input = sourceOf('openSource', given);
  checkOptions('openSource', options);
  if (isOpener(input)) {
    const source = await input.open(options);
    checkOpenedSource(input.name, source);
    return source;
  }
  if (typeof input !== 'string') {
    // An unread Node stream has no iterator to end, so it is destroyed.
    return streamSource('stream', input, options, { close: async () => void (input instanceof Readable && input.destroy()) });
  }
  if (isUrl(input)) return httpImage(input).open(options);
  refuseScheme(input, 'an image is fetched from http:// or https://');
  return input === '-' ? openStandardInput(options) : openPath(input, options);
}

/** The identity that the source would have if it were opened now. Throws what opening does. */
export async function identifySource(given: SourceInput, options: SourceOptions = {}): Promise<SourceIdentity | undefined> {
  const input = sourceOf('identifySource', given);
  if (isOpener(input)) return input.identify?.(options);
  if (typeof input !== 'string' || input === '-') return undefined;
  return isUrl(input) ? httpImage(input).identify?.(options) : identifyPath(input);
}

/** Opens one or more sources, and always closes them. Throws SOURCE_OPEN, USAGE or MEMORY. */
export async function withSources<T>(
  input: SourceInput | readonly SourceInput[],
  options: SourceOptions,
  use: (sources: readonly Source[]) => Promise<T>,
): Promise<T> {
  const inputs = isSeveral(input) ? input : [input];
  if (inputs.length > 1 && options.sha256 !== undefined) {
    throw new VdiStreamError('USAGE', 'a SHA-256 can be checked only for a single source');
  }
  const { sha256, signal, onWarning } = options;
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
    for (const [index, each] of inputs.entries()) {
      sources.push(await openSource(each, { sha256, signal, onWarning, onRead: onRead(index) }));
    }
    return await use(sources);
  } catch (error) {
    throw withAdvice(rejection(error), sources);
  } finally {
    // Errors that matter were thrown by `use`, which reads the sources to their end.
    for (const source of sources.reverse()) await source.close().catch(() => {});
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** A Node stream may have an `open` too, but an opener is not iterable. */
const isOpener = (input: SourceInput): input is Opener =>
  typeof input !== 'string' && !(input instanceof URL) && !(Symbol.asyncIterator in input);

/** Whether the input, although it is a stream, can be opened again to read the same bytes. */
export const opensAgain = (input: SourceInput | readonly SourceInput[]): boolean => {
  const [first, ...others] = isSeveral(input) ? input : [input];
  return first !== undefined && others.length === 0 && (typeof first === 'string' ? isUrl(first) : first instanceof URL || isOpener(first));
};

const isSeveral = (input: SourceInput | readonly SourceInput[]): input is readonly SourceInput[] => Array.isArray(input);
