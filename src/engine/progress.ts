/** Progress: counts completed work only. */

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

/** Reports bytes read from sources as progress. */
export function reading(onProgress: OnProgress | undefined): ((read: number, length: number) => void) | undefined {
  if (onProgress === undefined) return undefined;
  return (read, length) => onProgress({ phase: 'read', done: read, total: length, moved: read, toMove: length });
}
