/** Choice: which disk of an image to read, and how. */

import type { InflateChoice } from '../codec/inflate.ts';
import type { ManifestMode } from '../ova/member-digests.ts';

export interface ImageChoice {
  /** A member of the archive, by its path or its file name. Its parents are read too. */
  readonly disk?: string | undefined;
  /** The disk is raw: the source itself, or of an archive the file named .raw or .img, else the only file. */
  readonly raw?: boolean | undefined;
  /** The base of the chain is raw, whatever its name: the last of several sources, or the one raw disk of an archive. */
  readonly rawBase?: boolean | undefined;
  /** Whether manifests are checked; `if-present` by default. */
  readonly manifest?: ManifestMode | undefined;
  /** Which library inflates gzip; `auto` by default. */
  readonly inflate?: InflateChoice | undefined;
}
