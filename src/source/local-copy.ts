/** Local copy: an image that is downloaded whole before it is read, if the caller asks for that. */

import { type CacheOptions, cachedImage } from './cache.ts';
import type { Opener } from './source.ts';
import { stagedImage } from './staged-image.ts';

export interface LocalCopy {
  readonly cache?: CacheOptions | undefined;
  /** A folder. Not used with a cache, which stages what it cannot keep. */
  readonly staging?: string | undefined;
}

export function withLocalCopy(image: Opener, { cache, staging }: LocalCopy): Opener {
  if (cache !== undefined) return cachedImage(image, cache);
  return staging === undefined ? image : stagedImage(image, staging);
}
