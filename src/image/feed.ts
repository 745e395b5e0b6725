/** Feed: the disks of one source, or of several files that make a chain, one after the other. */

import type { Compression } from '../codec/compression.ts';
import { VdiStreamError } from '../errors.ts';
import { isRawName } from '../ova/select.ts';
import type { Source } from '../source/source.ts';
import { isOverRaw, type LinkFacts } from '../vhd/links.ts';
import { type Contents, createContents } from './contents.ts';
import { type Image, type ImageOptions, openImage } from './image.ts';
import type { StoredDisk } from './stored.ts';

export interface Feed {
  /** Of the first source. */
  readonly kind: Image['kind'];
  readonly compression: Compression;
  /**
   * When the iteration ends, every source has been read to its end and is complete. Returns what else is in the archive.
   */
  readonly disks: AsyncGenerator<StoredDisk, Contents, void>;
  /** Ends decompression. The sources stay open. */
  close(): Promise<void>;
}

/** Throws FORMAT_… and COMPRESSION_… errors; USAGE for an archive among several sources. */
export async function openFeed(sources: readonly Source[], options: ImageOptions): Promise<Feed> {
  const [source, ...others] = sources;
  if (source === undefined) throw new VdiStreamError('USAGE', 'no source given');
  const open = (layer: Source, rank: number, above?: LinkFacts): Promise<Image> => {
    if (others.length === 0) return openImage(layer, options);
    const isLast = rank === others.length;
    const mayBeRaw = isLast && (options.choice.rawBase === true || isRawName(layer.name) || (above !== undefined && isOverRaw(above)));
    return openImage(layer, options, { place: { chain: '', rank, by: 'number' }, mayBeRaw });
  };
  const first = await open(source, 0);
  const images = [first];

  async function* disks(): AsyncGenerator<StoredDisk, Contents, void> {
    let contents = createContents();
    let above: LinkFacts | undefined;
    for (const [rank, layer] of sources.entries()) {
      const image = rank === 0 ? first : await open(layer, rank, above);
      if (rank > 0) images.push(image);
      if (others.length > 0 && image.kind === 'tar') {
        throw new VdiStreamError('USAGE', `${layer.name} is an archive; several sources must be the VHD files of a chain, leaf first`);
      }
      above = await image.links();
      contents = yield* image.disks();
    }
    return contents;
  }

  return {
    kind: first.kind,
    compression: first.compression,
    disks: disks(),
    async close() {
      for (const image of images) await image.close();
    },
  };
}
