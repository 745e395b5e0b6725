/** Progress: counts completed work only. */

import type { Chunks } from '../cursor.ts';

export interface Progress {
  /**
   * `read` counts bytes of the source while it is examined, `export` bytes of the image before compression; the others count bytes of the
   * disk.
   */
  readonly phase: 'read' | 'write' | 'verify' | 'scan' | 'export';
  /** Bytes completed in this phase. */
  readonly done: number;
  /** Bytes of the disk, or of the source; 0 for a stream of unknown length. */
  readonly total: number;
  /** Bytes of data transferred in this phase; compute speed and remaining time from this. */
  readonly moved: number;
  /** Bytes of data to transfer in this phase. */
  readonly toMove: number;
}

export type OnProgress = (progress: Progress) => void;

/** The chunks of an image of `length` bytes, reported as progress once they have been used. */
export async function* exporting(chunks: Chunks, length: number, onProgress: OnProgress | undefined): Chunks {
  let done = 0;
  for await (const chunk of chunks) {
    yield chunk;
    done += chunk.length;
    onProgress?.({ phase: 'export', done, total: length, moved: done, toMove: length });
  }
}

/** Reports bytes read from sources as progress. */
export function reading(onProgress: OnProgress | undefined): ((read: number, length: number) => void) | undefined {
  if (onProgress === undefined) return undefined;
  return (read, length) => onProgress({ phase: 'read', done: read, total: length, moved: read, toMove: length });
}
