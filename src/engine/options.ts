/** The input and the options that all calls of the library share. */

import type { ImageChoice } from '../image/choice.ts';
import type { SourceInput } from './input.ts';
import type { OnProgress } from './progress.ts';

/** One source, or the VHD files of a chain, leaf first. */
export type DiskInput = SourceInput | readonly SourceInput[];

export interface ReadOptions extends ImageChoice {
  /** Hexadecimal SHA-256 of the bytes of the source, as stored. */
  readonly sha256?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}
