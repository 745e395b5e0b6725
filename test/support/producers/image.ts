/** Images whose answers are known: those of the shared corpus, and those that the tests make. */

import { createHash } from 'node:crypto';
import { stored } from '../chains.ts';
import type { Entry } from '../packages.ts';

/** What other decoders say of an image, or what it was made from. */
export interface Answers {
  readonly file: string;
  /** `vhd`, or how the disk is packed. */
  readonly kind: string;
  readonly type?: 'fixed' | 'dynamic' | 'differencing' | null;
  /** Bytes, as is the block size. */
  readonly virtualSize: number | null;
  readonly blockSize?: number | null;
  /** SHA-256 of the whole disk; the other two are right as well where the image may be accepted or refused. */
  readonly sha256raw?: string | null;
  readonly sha256IfAccepted?: string | null;
  readonly sha256Alt?: string | null;
  /** Of a disk that is too large to hash, by `sparseDigest`. */
  readonly sparseDigest?: string | null;
  /** The decoders that can read it. */
  readonly decoders?: readonly string[];
  readonly expect: 'ok' | 'error';
  /** The other outcome is right too. */
  readonly mayDiffer?: boolean;
}

export interface Image extends Answers {
  /** Of a hostile image: the code of its error, or `ok`. */
  readonly code?: string;
  /** Puts the image into a folder, a chain leaf first. */
  store(folder: string): Promise<string[]>;
}

export interface MadeImage extends Omit<Answers, 'kind' | 'expect'> {
  readonly kind?: string;
  readonly code?: string;
  /** What the disk holds, by the model and not by a decoder; missing where it is too large or not defined. */
  readonly content?: () => Uint8Array;
  /** Leaf first. */
  readonly files: () => readonly Entry[];
}

/** An image made anew for each test that stores it, since all of them together would fill the memory. */
export function madeImage({ content, files, ...answers }: MadeImage): Image {
  let hash: string | undefined;
  const { code = 'ok' } = answers;
  return {
    kind: 'vhd',
    expect: code === 'ok' ? 'ok' : 'error',
    ...answers,
    get sha256raw() {
      if (content) hash ??= createHash('sha256').update(content()).digest('hex');
      return hash ?? null;
    },
    store: async (folder) => files().map(([name, bytes]) => stored(folder, name, bytes)),
  };
}
