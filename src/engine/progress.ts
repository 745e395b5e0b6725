/** Progress: what has been completed, never what was merely issued. */

export interface Progress {
  readonly phase: 'write' | 'verify';
  /** Bytes of the disk that are done with in this phase. */
  readonly done: number;
  /** Bytes of the disk. */
  readonly total: number;
  /** Bytes of data moved in this phase; what speed and time left are honestly computed from. */
  readonly moved: number;
  /** Bytes of data that this phase has to move. */
  readonly toMove: number;
}

export type OnProgress = (progress: Progress) => void;
