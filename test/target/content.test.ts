/** What a target holds, in words, and when a file counts as empty. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { deviceContent, fileContent } from '../../src/target/content.ts';
import { rangeReader } from '../support/range-reader.ts';

const MiB = 1024 * 1024;
const SIZE = 5 * MiB + 1536;
const one = (at: number) => [[at, Uint8Array.of(1)]] as const;

test('a signature is named with its place', async () => {
  const { read } = rangeReader(SIZE, [[536, Buffer.from('LVM2 001')]]);
  expect(await deviceContent(SIZE, read)).toBe('an LVM physical volume, label at byte 512');
  expect(await fileContent(SIZE, read)).toBe('an LVM physical volume, label at byte 512');
});

test('a device may have bytes that are not a signature', async () => {
  expect(await deviceContent(SIZE, rangeReader(SIZE, one(0)).read)).toBeUndefined();
});

describe('of a file', () => {
  test.each([0, 1, 4095, 4096, MiB - 1, SIZE - MiB, SIZE - 1])('byte %d is data', async (at) => {
    expect(await fileContent(SIZE, rangeReader(SIZE, one(at)).read)).toBe(`data at byte ${at}`);
  });

  test('the first byte of data is reported', async () => {
    const { read } = rangeReader(SIZE, [...one(SIZE - 1), ...one(7000), ...one(8000)]);
    expect(await fileContent(SIZE, read)).toBe('data at byte 7000');
  });

  test('neither the middle nor a hole counts', async () => {
    expect(await fileContent(SIZE, rangeReader(SIZE, one(2 * MiB)).read)).toBeUndefined();
    expect(await fileContent(SIZE, rangeReader(SIZE, []).read)).toBeUndefined();
  });

  test('any byte of the first and last MiB counts, whatever the size, and no range passes the end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 * MiB }), fc.nat(), async (size, seed) => {
        const at = seed % 2 === 0 ? seed % Math.min(size, MiB) : size - 1 - (seed % Math.min(size, MiB));
        expect(await fileContent(size, rangeReader(size, one(at)).read)).toBe(`data at byte ${at}`);
        expect(await fileContent(size, rangeReader(size, []).read)).toBeUndefined();
      }),
    );
  });

  test('that is empty there is nothing to read', async () => {
    const { read, ranges } = rangeReader(0, []);
    expect(await fileContent(0, read)).toBeUndefined();
    expect(ranges).toEqual([]);
  });
});
