/** What the calls of the library have in common: which disk of which bytes. */

import type { SourceInput } from '../io/source.ts';
import type { ManifestMode } from '../ova/package.ts';
import type { OnProgress } from './progress.ts';

/** One source, or the VHD files of a chain, leaf first. */
export type DiskInput = SourceInput | readonly SourceInput[];

/** Which disk of an image is meant. */
export interface ImageChoice {
  /** Which member of an archive; its name, or the last part of it. Its parents come with it. */
  readonly disk?: string | undefined;
  /** The disk has no format: the bare source, or the first member of the archive. */
  readonly raw?: boolean | undefined;
  /** What a manifest counts; `if-present` by default. */
  readonly manifest?: ManifestMode | undefined;
}

/** What it takes to read an image. */
export interface ReadOptions extends ImageChoice {
  /** Hexadecimal SHA-256 of the source's bytes as they are stored. */
  readonly sha256?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}
