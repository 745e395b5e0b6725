/** Progress of several imports together: the bytes of all, and how many images have ended. */

import type { OnProgress, Progress } from '../engine/progress.ts';
import type { ImageCount, ShownProgress } from './pace.ts';

interface ListProgress {
  /** `index`: of the image. */
  update(progress: Progress, index: number): void;
  ended(index: number): void;
}

interface Running {
  readonly phase: Progress['phase'];
  /** Bytes moved in this phase, and in those before it. */
  readonly moved: number;
  readonly before: number;
  /** How much of the image is done, from 0 to 1. */
  readonly share: number;
}

/** `verify`: each image is read back, which takes about as long as writing it. */
export function createListProgress(count: number, verify: boolean, onProgress: OnProgress): ListProgress {
  const running = new Map<number, Running>();
  let ended = 0;
  /** Bytes of the images that have ended. */
  let earlier = 0;

  function report(): void {
    let bytes = earlier;
    let share = ended;
    for (const one of running.values()) {
      bytes += one.before + one.moved;
      share += one.share;
    }
    const images: ImageCount = { ended, count, share: count === 0 ? 1 : share / count };
    const all: ShownProgress = { phase: 'write', done: bytes, total: 0, moved: bytes, toMove: 0, images };
    onProgress(all);
  }

  return {
    update(progress, index) {
      const last = running.get(index);
      const { phase, moved } = progress;
      // A source may be read more than once.
      const isNew = last !== undefined && (last.phase !== phase || moved < last.moved);
      const before = (last?.before ?? 0) + (isNew ? last.moved : 0);
      running.set(index, { phase, moved, before, share: Math.max(last?.share ?? 0, shareOf(progress, verify)) });
      report();
    },
    ended(index) {
      const last = running.get(index);
      running.delete(index);
      earlier += last === undefined ? 0 : last.before + last.moved;
      ended++;
      report();
    },
  };
}

function shareOf({ phase, done, total }: Progress, verify: boolean): number {
  if (phase !== 'write' && phase !== 'verify') return 0;
  const share = total > 0 ? Math.min(1, done / total) : 0;
  if (!verify) return share;
  return phase === 'write' ? share / 2 : 0.5 + share / 2;
}
