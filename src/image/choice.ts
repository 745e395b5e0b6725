/** Choice: which disk of an image to read, and how. */

import type { InflateChoice } from '../codec/inflate.ts';
import type { ManifestMode } from '../ova/member-digests.ts';

export interface ImageChoice {
  /** A member of the archive, by its path or its file name. Its parents are read too. */
  readonly disk?: string | undefined;
  /** The disk is raw: the source itself, or the first file of the archive. */
  readonly raw?: boolean | undefined;
  /** Whether manifests are checked; `if-present` by default. */
  readonly manifest?: ManifestMode | undefined;
  /** Which library inflates gzip; `auto` by default. */
  readonly inflate?: InflateChoice | undefined;
}
