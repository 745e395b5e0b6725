/** Images that open themselves, over bytes in memory, and remember what was done with them; and what a cache makes of them. */

import { createHash } from 'node:crypto';
import type { Chunks } from '../../src/cursor.ts';
import { cachedImage } from '../../src/source/cache.ts';
import type { Digest, Opener, SourceOptions } from '../../src/source/source.ts';
import { streamSource } from '../../src/source/stream.ts';
import { collect, reusing } from './chunks.ts';

export interface ImageOptions {
  readonly name?: string;
  /** What the opener says; the true one by default, none with `undefined`. */
  readonly digest?: Digest | undefined;
  /** What the opener says; none by default. */
  readonly length?: number | undefined;
  /** Instead of the bytes, for each opening that has one. */
  readonly attempts?: readonly (() => Chunks)[];
}

export interface CountedOpener extends Opener {
  /** How often it was opened, and how often that was closed. */
  opened(): number;
  closed(): number;
  /** How many chunks were asked for. */
  begun(): number;
}

export const digestOf = (bytes: Uint8Array, algorithm = 'sha256'): Digest => ({
  algorithm,
  hex: createHash(algorithm).update(bytes).digest('hex'),
});

/** What its entry in a cache is called. */
export const nameOf = ({ algorithm, hex }: Digest): string => `${algorithm}-${hex}`;

export function imageOpener(bytes: Uint8Array, options: ImageOptions = {}): CountedOpener {
  const { name = 'an image', length, attempts = [] } = options;
  const digest = 'digest' in options ? options.digest : digestOf(bytes);
  const counts = { opened: 0, closed: 0, begun: 0 };

  async function* counted(chunks: Chunks): Chunks {
    for await (const chunk of chunks) {
      counts.begun++;
      yield chunk;
    }
  }
  return {
    name,
    opened: () => counts.opened,
    closed: () => counts.closed,
    begun: () => counts.begun,
    async open(sourceOptions: SourceOptions) {
      const attempt = attempts[counts.opened++];
      const close = async (): Promise<void> => {
        counts.closed++;
      };
      const chunks = attempt?.() ?? reusing(bytes, [7_001, 60_000]);
      return streamSource(name, counted(chunks), sourceOptions, { length, digest, close });
    },
    describe: async () => ({ digest, length }),
  };
}

/** Yields `bytes`, and then stalls without ending. */
export async function* stalling(bytes: Uint8Array): Chunks {
  yield bytes;
  await new Promise(() => {});
}

export async function* failing(bytes: Uint8Array, error: Error): Chunks {
  yield bytes;
  throw error;
}

/** What an import would get through a cache; a MiB of it by default. */
export async function use(from: Opener, folder: string, options: SourceOptions = {}, size = 2 ** 20): Promise<Buffer> {
  const source = await cachedImage(from, { folder, size }).open(options);
  try {
    return await collect(source.cursor.chunks());
  } finally {
    await source.close();
  }
}
