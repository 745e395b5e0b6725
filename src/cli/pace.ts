/** Pace: how fast the current phase advances, also while nothing arrives. */

import type { Progress } from '../engine/progress.ts';

/** The state of the work at one moment. Times in seconds. */
export interface Pace {
  /** What was completed last. */
  readonly progress: Progress;
  /** Since the phase began. */
  readonly seconds: number;
  /** Until its end, at the speed so far; Infinity if that is unknown. */
  readonly left: number;
  /** Since anything was completed; 0 once all is. */
  readonly idle: number;
}

interface Pacer {
  update(progress: Progress): void;
  /** Undefined before the first update. */
  now(): Pace | undefined;
}

/** Speed and time left come from the data moved: holes cost no time and would distort both. */
export function createPacer(): Pacer {
  let last: Progress | undefined;
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
      const { done, total, moved, toMove } = last;
      const seconds = (now - began) / 1000;
      const left = moved > 0 ? Math.max(0, (seconds * (toMove - moved)) / moved) : Number.POSITIVE_INFINITY;
      const isComplete = total > 0 && done >= total;
      return { progress: last, seconds, left, idle: isComplete ? 0 : (now - advanced) / 1000 };
    },
  };
}
