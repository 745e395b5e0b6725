/** Choice: which disk of an image is meant, and how its package is read. */

import type { ManifestMode } from '../ova/member-digests.ts';

/** Which disk of an image is meant. */
export interface ImageChoice {
  /** Which member of an archive; its name, or the last part of it. Its parents come with it. */
  readonly disk?: string | undefined;
  /** The disk has no format: the bare source, or the first member of the archive. */
  readonly raw?: boolean | undefined;
  /** What a manifest counts; `if-present` by default. */
  readonly manifest?: ManifestMode | undefined;
}
