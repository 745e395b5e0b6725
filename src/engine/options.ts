/** What the calls of the library have in common: which disk of which bytes. */

import type { ImageChoice } from '../image/choice.ts';
import type { SourceInput } from './open.ts';
import type { OnProgress } from './progress.ts';

/** One source, or the VHD files of a chain, leaf first. */
export type DiskInput = SourceInput | readonly SourceInput[];

/** What it takes to read an image. */
export interface ReadOptions extends ImageChoice {
  /** Hexadecimal SHA-256 of the source's bytes as they are stored. */
  readonly sha256?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}
