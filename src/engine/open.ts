/** From a string to an opener: here, and nowhere else, is decided what a path, a URL or `-` is. */

import { Readable } from 'node:stream';
import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { httpImage } from '../http/download.ts';
import { isUrl } from '../http/url.ts';
import { openPath, openStandardInput } from '../source/path.ts';
import type { Opener, Source, SourceOptions } from '../source/source.ts';
import { streamSource } from '../source/stream.ts';
import { deviceTarget } from '../target/device.ts';
import { NULL_TARGET, nullTarget } from '../target/null.ts';
import type { TargetOpener } from '../target/target.ts';

/** A path, a URL, `-` for standard input, bytes, or something that knows how to open itself, as an image of Glance does. */
export type SourceInput = string | Chunks | Opener;

/** The path of a device, a volume or a file, `null:`, or something that knows how to open itself. */
export type TargetInput = string | TargetOpener;

export function targetOpener(target: TargetInput): TargetOpener {
  if (typeof target !== 'string') return target;
  return target === NULL_TARGET ? nullTarget : deviceTarget(target);
}

/** Throws SOURCE_OPEN. Whoever gets a source closes it. */
export async function openSource(input: SourceInput, options: SourceOptions = {}): Promise<Source> {
  if (isOpener(input)) return input.open(options);
  if (typeof input !== 'string') {
    // A stream of Node that nobody has begun to read has no iterator to end.
    return streamSource('stream', input, options, { close: async () => void (input instanceof Readable && input.destroy()) });
  }
  if (isUrl(input)) return httpImage(input).open(options);
  return input === '-' ? openStandardInput(options) : openPath(input, options);
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
    for (const [index, one] of inputs.entries()) sources.push(await openSource(one, { sha256, signal, onWarning, onRead: onRead(index) }));
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
