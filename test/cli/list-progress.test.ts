/** Progress of several imports: it counts the bytes of all, and never goes back. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createListProgress } from '../../src/cli/list-progress.ts';
import type { ShownProgress } from '../../src/cli/pace.ts';
import type { Progress } from '../../src/engine/progress.ts';

/** What is shown after each step. */
function shown(count: number, verify: boolean): { readonly seen: ShownProgress[]; readonly list: ReturnType<typeof createListProgress> } {
  const seen: ShownProgress[] = [];
  const list = createListProgress(count, verify, (progress) => void seen.push(progress));
  return { seen, list };
}

const at = (phase: Progress['phase'], done: number, moved = done): Progress => ({ phase, done, total: 100, moved, toMove: 100 });

test('two imports count together, and a failed one counts as ended', () => {
  const { seen, list } = shown(4, true);
  list.update(at('read', 10), 0);
  list.update(at('write', 50, 20), 0);
  list.update(at('write', 100, 40), 2);
  list.update(at('verify', 50), 2);
  list.ended(2);
  list.ended(0);
  expect(seen.map(({ moved, images }) => [moved, images?.ended, images?.share])).toEqual([
    [10, 0, 0],
    [30, 0, 0.0625],
    [70, 0, 0.1875],
    [120, 0, 0.25],
    [120, 1, 0.3125],
    [120, 2, 0.5],
  ]);
  expect(seen.at(-1)).toEqual({ phase: 'write', done: 120, total: 0, moved: 120, toMove: 0, images: { ended: 2, count: 4, share: 0.5 } });
});

test('neither the bytes nor the share go back, in whatever order imports report and end', () => {
  const step = fc.record({
    index: fc.nat(4),
    phase: fc.constantFrom<Progress['phase']>('read', 'write', 'verify'),
    done: fc.nat(100),
    ends: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step), fc.boolean(), (steps, verify) => {
      const { seen, list } = shown(5, verify);
      const ended = new Set<number>();
      for (const { index, phase, done, ends } of steps) {
        if (ended.has(index)) continue;
        list.update(at(phase, done), index);
        if (!ends) continue;
        list.ended(index);
        ended.add(index);
      }
      for (const [place, { moved, images }] of seen.entries()) {
        expect(moved).toBeGreaterThanOrEqual(seen[place - 1]?.moved ?? 0);
        expect(images?.share).toBeGreaterThanOrEqual((seen[place - 1]?.images?.share ?? 0) - 1e-9);
        expect(images?.share).toBeLessThanOrEqual(1 + 1e-9);
      }
    }),
  );
});
