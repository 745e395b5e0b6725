import fc from 'fast-check';
import { expect, test } from 'vitest';
import { infoTable } from '../../src/cli/tables.ts';
import type { ImageInfo } from '../../src/index.ts';

/** The map of data in the table for an image whose disk has `map`. */
function drawn(map: readonly number[], columns: number): string {
  const layer = {
    member: undefined,
    type: 'dynamic',
    virtualSize: 64,
    blockSize: 1,
    creator: 'tap',
    uniqueId: undefined,
    timestamp: undefined,
    parent: undefined,
    allocatedBytes: 32,
    map,
  } as const;
  const image: ImageInfo = {
    kind: 'vhd',
    compression: 'none',
    inflate: undefined,
    disks: [{ ...layer, layers: [layer] }],
    virtualSize: 64,
    ignored: [],
    warnings: [],
  };
  return infoTable('a.vhd', image, columns).at(-1) ?? '';
}

const cells = (text: string): number[] => Array.from(text, (letter) => (letter === '#' ? 1 : 0));
const half = cells(`${'#'.repeat(32)}${'.'.repeat(32)}`);

test.each([
  [Number.POSITIVE_INFINITY, `  data          ${'█'.repeat(32)}${'·'.repeat(32)}`],
  [80, `  data          ${'█'.repeat(32)}${'·'.repeat(32)}`],
  [60, `  data          ${'█'.repeat(22)}${'·'.repeat(22)}`],
  [48, `  data          ${'█'.repeat(16)}${'·'.repeat(16)}`],
  [19, '  data          █▓·'],
])('the map fits a terminal of %i columns', (columns, line) => {
  expect(drawn(half, columns)).toBe(line);
});

test('a narrow map is empty exactly where all of its part of the disk is', () => {
  const map = fc.array(fc.constantFrom(0, 0, 0, 0.01, 1), { minLength: 64, maxLength: 64 });
  fc.assert(
    fc.property(map, fc.integer({ min: 17, max: 79 }), (shares, columns) => {
      const letters = [...drawn(shares, columns).slice(16)];
      expect(letters).toHaveLength(columns - 16);
      for (const [index, letter] of letters.entries()) {
        // The cells of the wide map that overlap this one, in integers.
        const touching = shares.filter((_, cell) => (cell + 1) * letters.length > index * 64 && cell * letters.length < (index + 1) * 64);
        expect(letter === '·').toBe(touching.every((share) => share === 0));
      }
    }),
  );
});
