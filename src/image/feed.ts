/** Feed: the disks of one source, or of several files that are a chain, one after the other, each with its place in a chain. */

import type { Cursor } from '../cursor.ts';
import type { Disk } from '../disk/extent.ts';
import { VdiStreamError } from '../errors.ts';
import { type Place, placeOf } from '../ova/select.ts';
import type { Source } from '../source/source.ts';
import { type Image, type ImageDisk, type ImageOptions, openImage } from './image.ts';

export type FeedOptions = ImageOptions;

/** A disk that has come. It is complete, or skipped, before the next one is asked for. `open` reads its metadata once. */
export interface Arrival extends ImageDisk {
  /** For messages: the member, or the source. */
  readonly name: string;
  readonly place: Place | undefined;
  /** The same for all layers of one disk. */
  readonly chain: string;
}

export interface Feed {
  /** When they end, every source has been read to its end and found whole. */
  readonly arrivals: AsyncGenerator<Arrival, void, void>;
  /** The images, in the order of the sources; of those that come later, as soon as they have been opened. */
  readonly images: readonly Image[];
  /** Whether chains come leaf first; known once the first disk has come. */
  leafFirst(): boolean;
  /** Files of the archive that are no part of any disk. */
  ignored(): readonly string[];
  /** Ends what decompresses. The sources stay open. */
  close(): Promise<void>;
}

/** Throws FORMAT_… and COMPRESSION_… errors; USAGE for an archive among several sources. */
export async function openFeed(sources: readonly Source[], options: FeedOptions): Promise<Feed> {
  const [source, ...others] = sources;
  if (source === undefined) throw new VdiStreamError('USAGE', 'there is no source');
  const images = [await openImage(source, options)];
  const single = others.length === 0;

  async function* arrivals(): AsyncGenerator<Arrival, void, void> {
    for (const [rank, { name }] of sources.entries()) {
      const image = images[rank] ?? (await openNext(rank));
      if (!single && image.kind === 'tar') {
        throw new VdiStreamError('USAGE', `${name} is an archive; only VHD files can be given as a chain, leaf first`);
      }
      for await (const stored of image.disks()) {
        const place = single ? placeOf(stored.member ?? '') : { chain: '', rank, numbered: true };
        let disk: Promise<Disk> | undefined;
        const open = (from?: Cursor): Promise<Disk> => {
          disk ??= stored.open(from);
          return disk;
        };
        const member = stored.member ?? name;
        yield { ...stored, open, name: member, place, chain: place?.chain ?? member };
      }
    }
  }

  async function openNext(rank: number): Promise<Image> {
    const next = sources[rank];
    if (next === undefined) throw new RangeError(`no source ${rank}`);
    const image = await openImage(next, options);
    images.push(image);
    return image;
  }

  return {
    arrivals: arrivals(),
    images,
    leafFirst: () => !single || images.every((image) => image.leafFirst()),
    ignored: () => images.flatMap((image) => image.ignored()),
    async close() {
      for (const image of images) await image.close();
    },
  };
}

/** The next one, to be followed by a loop over the others. Undefined behind the last. */
export async function nextOf<T>(arrivals: AsyncGenerator<T, void, void>): Promise<T | undefined> {
  const result = await arrivals.next();
  return result.done ? undefined : result.value;
}
