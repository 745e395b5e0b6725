/** What every library that inflates has to do here. The gzip framing around the deflate data is read in `gzip-member.ts`. */

import type { CompressedInput } from './compressed-input.ts';

/** A place in a buffer, and how many bytes it inflates to. */
export interface Packed {
  readonly start: number;
  readonly end: number;
  readonly length: number;
}

export interface InflateCodec {
  /**
   * The output of the deflate stream that begins at the available bytes; uses up no more than that stream. Returns the CRC-32 of the output.
   * One at a time. Throws COMPRESSION_DATA, COMPRESSION_TRUNCATED, MEMORY, THREADS.
   */
  readonly stream: (input: CompressedInput) => AsyncGenerator<Uint8Array, number, void>;
  /**
   * Inflates whole members in memory, with their trailers after them, one after the other into `output`. Resolves with the number of those
   * that were complete and matched their trailers, up to the first that was not. Several calls at a time.
   */
  readonly members?: (input: Uint8Array, output: Uint8Array, members: readonly Packed[]) => Promise<number>;
  /** Reads a single member only. */
  readonly isSingle?: boolean;
}
