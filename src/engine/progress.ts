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

type ByteCounts = Omit<Progress, 'phase'>;

const NO_BYTES: ByteCounts = { done: 0, total: 0, moved: 0, toMove: 0 };

const plus = (a: ByteCounts, b: ByteCounts): ByteCounts => ({
  done: a.done + b.done,
  total: a.total + b.total,
  moved: a.moved + b.moved,
  toMove: a.toMove + b.toMove,
});

/** Adds up the progress of several disks, by phase. Returns the callback of the next disk, whose bytes come after those of the last. */
export function summedProgress(onProgress: OnProgress | undefined): () => OnProgress | undefined {
  const earlier = new Map<Progress['phase'], ByteCounts>();
  let latest = new Map<Progress['phase'], ByteCounts>();
  return () => {
    for (const [phase, counts] of latest) earlier.set(phase, plus(counts, earlier.get(phase) ?? NO_BYTES));
    latest = new Map();
    return (
      onProgress &&
      (({ phase, ...counts }) => {
        latest.set(phase, counts);
        onProgress({ phase, ...plus(counts, earlier.get(phase) ?? NO_BYTES) });
      })
    );
  };
}
