import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createSectorSet, type SectorRun, type SectorSet } from '../../src/disk/sectors.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const SECTOR = 512;
const MIB = 1 << 20;
const GIB = 2 ** 30;
/** A set keeps its books in spans of 2 MiB; everything of interest happens at their borders. */
const SPAN = 2 * MIB;
const EACH = SPAN / SECTOR;

/** In sectors. */
interface Step {
  readonly does: 'add' | 'remove' | 'add all' | 'runs';
  readonly from: number;
  readonly count: number;
}

const border = (max: number): fc.Arbitrary<number> =>
  fc
    .oneof(
      fc
        .tuple(fc.integer({ min: 0, max: Math.ceil(max / EACH) }), fc.integer({ min: -9, max: 9 }))
        .map(([span, more]) => span * EACH + more),
      fc.nat(max),
    )
    .map((sector) => Math.min(Math.max(0, sector), max));

/** A disk around a border of spans, and what is done to a set over it. */
const lives = fc
  .tuple(fc.integer({ min: 0, max: 4 }), fc.constantFrom(-9, -8, -1, 0, 1, 7, 8, 9, EACH / 2))
  .map(([spans, more]) => Math.max(1, spans * EACH + more))
  .chain((size) =>
    fc.record({
      size: fc.constant(size),
      steps: fc.array(
        fc
          .tuple(fc.constantFrom<Step['does'][]>('add', 'add', 'remove', 'add all', 'runs'), border(size), border(size))
          .map(([does, a, b]): Step => ({ does, from: Math.min(a, b), count: Math.abs(a - b) })),
        { maxLength: 12 },
      ),
    }),
  );

/** What `runs` must say of sectors [from, from + count): as few runs as possible, in order. */
function expectedRuns(plain: Uint8Array, from: number, count: number): SectorRun[] {
  const runs: SectorRun[] = [];
  for (let start = from; start < from + count; ) {
    let end = start;
    while (end < from + count && plain[end] === plain[start]) end++;
    runs.push({ offset: start * SECTOR, length: (end - start) * SECTOR, inside: plain[start] === 1 });
    start = end;
  }
  return runs;
}

const inside = (set: SectorSet, offset: number, length: number): SectorRun[] => [...set.runs(offset, length)];

test('after any additions and removals the runs match those of a plain array: merged and in order, from the first byte to the last', () => {
  fc.assert(
    fc.property(lives, ({ size, steps }) => {
      const set = createSectorSet(size * SECTOR);
      const other = createSectorSet(size * SECTOR);
      const plain = new Uint8Array(size);
      const otherPlain = new Uint8Array(size);
      for (const { does, from, count } of steps) {
        if (does === 'add') set.add(from * SECTOR, count * SECTOR);
        if (does === 'remove') set.remove(from * SECTOR, count * SECTOR);
        if (does === 'add' || does === 'remove') plain.fill(does === 'add' ? 1 : 0, from, from + count);
        if (does === 'add all') {
          other.add(from * SECTOR, count * SECTOR);
          otherPlain.fill(1, from, from + count);
          set.addAll(other);
          for (const [sector, there] of otherPlain.entries()) if (there === 1) plain[sector] = 1;
          expect(inside(other, 0, size * SECTOR), 'the set that was added').toEqual(expectedRuns(otherPlain, 0, size));
        }
        expect(inside(set, from * SECTOR, count * SECTOR)).toEqual(expectedRuns(plain, from, count));
        expect(inside(set, 0, size * SECTOR)).toEqual(expectedRuns(plain, 0, size));
      }
    }),
    { numRuns: 300 },
  );
});

test.each([1, 7, 8, EACH - 1, EACH, EACH + 1, 2 * EACH, 3 * EACH - 8])(
  'any single sector of a disk of %d sectors can be in the set',
  (size) => {
    const step = Math.max(1, Math.floor(size / 50));
    for (const sector of [...Array.from({ length: Math.ceil(size / step) }, (_, at) => at * step), size - 1]) {
      const set = createSectorSet(size * SECTOR);
      const plain = new Uint8Array(size);
      set.add(sector * SECTOR, SECTOR);
      plain[sector] = 1;
      expect(inside(set, 0, size * SECTOR)).toEqual(expectedRuns(plain, 0, size));
      set.remove(sector * SECTOR, SECTOR);
      expect(inside(set, 0, size * SECTOR)).toEqual([{ offset: 0, length: size * SECTOR, inside: false }]);
    }
  },
);

test('adding, removing or querying an empty range does nothing', () => {
  const set = createSectorSet(3 * SPAN);
  set.add(SPAN, 0);
  set.remove(SPAN + SECTOR, 0);
  expect(inside(set, SPAN, 0)).toEqual([]);
  expect(inside(set, 0, 3 * SPAN)).toEqual([{ offset: 0, length: 3 * SPAN, inside: false }]);
});

test('a set added to itself does not change', () => {
  const set = createSectorSet(5 * SPAN);
  set.add(SPAN - SECTOR, SPAN + 3 * SECTOR);
  const before = inside(set, 0, 5 * SPAN);
  set.addAll(set);
  expect(inside(set, 0, 5 * SPAN)).toEqual(before);
});

describe('memory', () => {
  /** Bytes that `make` has allocated, with its result still alive. */
  function kept(make: () => SectorSet): { readonly bytes: number; readonly set: SectorSet } {
    const used = (): number => {
      // Memory outside of the heap is given back by a thread, which the next collection waits for.
      for (let turn = 0; turn < 3; turn++) collectGarbage();
      const { arrayBuffers, heapUsed } = process.memoryUsage();
      return arrayBuffers + heapUsed;
    };
    const before = used();
    const set = make();
    return { bytes: used() - before, set };
  }

  const SIZE = 2040 * GIB;
  /** Two bits for each 2 MiB. */
  const MARKS = 256 * 1024;
  /** By how much the size of the heap varies on its own. */
  const SLACK = MIB;

  test('for 2040 GiB in whole blocks is one flag per span, whatever is in the set', () => {
    const { bytes, set } = kept(() => {
      const made = createSectorSet(SIZE);
      for (let block = 0; block < SIZE / SPAN; block += 2) made.add(block * SPAN, SPAN);
      return made;
    });
    expect(bytes).toBeLessThan(MARKS + SLACK);
    expect(inside(set, 100 * SPAN, 3 * SPAN).map((run) => run.inside)).toEqual([true, false, true]);
  });

  test('for spans filled bit by bit is released once they are full, and once they are empty again', () => {
    const COUNT = 16_384; // 8 MiB of bits
    const { bytes: mixed, set } = kept(() => {
      const made = createSectorSet(SIZE);
      for (let span = 0; span < COUNT; span++) made.add(span * SPAN + SECTOR, SPAN - SECTOR);
      return made;
    });
    expect(mixed).toBeGreaterThan(COUNT * (EACH / 8)); // or this test would see nothing
    expect(mixed).toBeLessThan(MARKS + COUNT * (EACH / 8 + 512) + SLACK);

    const { bytes: freed } = kept(() => {
      for (let span = 0; span < COUNT; span++) {
        if (span % 3 === 0) set.add(span * SPAN, SECTOR);
        else if (span % 3 === 1) set.remove(span * SPAN, SPAN);
        else set.remove(span * SPAN + SECTOR, SPAN - SECTOR);
      }
      return set;
    });
    expect(freed).toBeLessThan(-COUNT * (EACH / 8));
    expect(inside(set, 0, 4 * SPAN)).toEqual([
      { offset: 0, length: SPAN, inside: true },
      { offset: SPAN, length: 2 * SPAN, inside: false },
      { offset: 3 * SPAN, length: SPAN, inside: true },
    ]);
  });

  test('for mixed spans is released as soon as a large run covers them', () => {
    const COUNT = 16_384;
    const made = createSectorSet(SIZE);
    for (let span = 0; span < COUNT; span++) made.add(span * SPAN + SECTOR, SECTOR);
    const { bytes, set } = kept(() => {
      made.add(SECTOR, SIZE - SECTOR);
      return made;
    });
    expect(bytes).toBeLessThan(-(COUNT - 2) * (EACH / 8));
    expect(inside(set, 0, SIZE)).toEqual([
      { offset: 0, length: SECTOR, inside: false },
      { offset: SECTOR, length: SIZE - SECTOR, inside: true },
    ]);
  });
});

test('runs are correct on a disk of 1 PiB, which a hostile image can claim with few bytes', () => {
  const size = 2 ** 50;
  const set = createSectorSet(size);
  const far = 2 ** 49 + 3 * SECTOR;
  set.add(0, size);
  set.remove(far, 2 ** 41);
  set.remove(size - SECTOR, SECTOR);
  const expected = [
    { offset: 0, length: far, inside: true },
    { offset: far, length: 2 ** 41, inside: false },
    { offset: far + 2 ** 41, length: size - SECTOR - far - 2 ** 41, inside: true },
    { offset: size - SECTOR, length: SECTOR, inside: false },
  ];
  expect(inside(set, 0, size)).toEqual(expected);
  const copy = createSectorSet(size);
  copy.addAll(set);
  expect(inside(copy, 0, size)).toEqual(expected);
  copy.remove(0, size);
  expect(inside(copy, 0, size)).toEqual([{ offset: 0, length: size, inside: false }]);
});
