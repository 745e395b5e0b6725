/** Pace: how fast the current phase advances, also while nothing arrives. */

import type { Progress } from '../engine/progress.ts';

/** Of several images, the bytes are those of all, and `total` is 0. */
export interface ShownProgress extends Progress {
  readonly images?: ImageCount;
}

export interface ImageCount {
  readonly ended: number;
  readonly count: number;
  /** How much of them is done, from 0 to 1, if each counts the same. */
  readonly share: number;
}

/** The state of the work at one moment. Times in seconds. */
export interface Pace {
  /** What was completed last. */
  readonly progress: ShownProgress;
  /** Since the phase began. */
  readonly seconds: number;
  /** Until its end, at the speed so far; Infinity if that is unknown. */
  readonly left: number;
  /** Since anything was completed; 0 once all is. */
  readonly idle: number;
}

interface Pacer {
  update(progress: ShownProgress): void;
  /** Undefined before the first update. */
  now(): Pace | undefined;
}

/** Speed and time left come from the data moved: holes cost no time and would distort both. */
export function createPacer(): Pacer {
  let last: ShownProgress | undefined;
  let began = 0;
  let advanced = 0;
  return {
    update(progress) {
      const now = performance.now();
      if (progress.phase !== last?.phase) began = now;
      if (progress.phase !== last?.phase || progress.done !== last.done || progress.moved !== last.moved) advanced = now;
      last = progress;
    },
    now() {
      if (last === undefined) return undefined;
      const now = performance.now();
      const { done, total, moved, toMove, images } = last;
      const seconds = (now - began) / 1000;
      const left = moved > 0 ? Math.max(0, (seconds * (toMove - moved)) / moved) : Number.POSITIVE_INFINITY;
      const isComplete = images === undefined ? total > 0 && done >= total : images.ended === images.count;
      return { progress: last, seconds, left, idle: isComplete ? 0 : (now - advanced) / 1000 };
    },
  };
}
