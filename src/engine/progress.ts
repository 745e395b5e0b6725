/** Progress: what has been completed, never what was merely issued. */

export interface Progress {
  /** `read`: looking through a source; its bytes are counted. The others count bytes of the disk. */
  readonly phase: 'read' | 'write' | 'verify';
  /** Bytes that this phase is done with. */
  readonly done: number;
  /** Bytes of the disk, or of the source; 0 for a stream whose length is not known. */
  readonly total: number;
  /** Bytes of data moved in this phase; what speed and time left are honestly computed from. */
  readonly moved: number;
  /** Bytes of data that this phase has to move. */
  readonly toMove: number;
}

export type OnProgress = (progress: Progress) => void;

/** Tells the bytes that are read from sources as progress. */
export function reading(onProgress: OnProgress | undefined): ((read: number, length: number) => void) | undefined {
  if (onProgress === undefined) return undefined;
  return (read, length) => onProgress({ phase: 'read', done: read, total: length, moved: read, toMove: length });
}
