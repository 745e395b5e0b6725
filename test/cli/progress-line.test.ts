import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Pace } from '../../src/cli/pace.ts';
import { barLine, logLine } from '../../src/cli/progress-line.ts';

const GIB = 2 ** 30;

/** A quarter of a disk of 64 GiB after 10 seconds, half of it empty. */
const quarter: Pace = {
  progress: { phase: 'write', done: 16 * GIB, total: 64 * GIB, moved: 8 * GIB, toMove: 32 * GIB },
  seconds: 10,
  left: 30,
  idle: 0,
};
const stalled: Pace = { ...quarter, idle: 12.9 };
const several: Pace = {
  ...quarter,
  progress: { phase: 'write', done: 8 * GIB, total: 0, moved: 8 * GIB, toMove: 0, images: { ended: 3, count: 20, share: 0.172 } },
};
const stream: Pace = {
  ...quarter,
  progress: { phase: 'read', done: 16 * GIB, total: 0, moved: 16 * GIB, toMove: 0 },
  left: Number.POSITIVE_INFINITY,
};

describe('on a terminal', () => {
  test.each([
    [200, quarter, 'write  ███████░░░░░░░░░░░░░░░░░░░░░░░  25% | 64 GiB | 859 MB/s | 00:30 left'],
    [80, quarter, 'write  ███████░░░░░░░░░░░░░░░░░░░░░░░  25% | 64 GiB | 859 MB/s | 00:30 left'],
    [60, quarter, 'write  ███░░░░░░░░░░░  25% | 64 GiB | 859 MB/s | 00:30 left'],
    [50, quarter, 'write   25% | 64 GiB | 859 MB/s | 00:30 left'],
    [40, quarter, 'write   25% | 859 MB/s | 00:30 left'],
    [80, stalled, 'write  ███████░░░░░░░░░░░░░░░░░░░░░  25% | 64 GiB | 859 MB/s | no data for 12 s'],
    [60, stalled, 'write  ██░░░░░░  25% | 64 GiB | 859 MB/s | no data for 12 s'],
    [200, several, '3/20 images █████░░░░░░░░░░░░░░░░░░░░░░░░░  17% | 8 GiB | 859 MB/s'],
    [60, several, '3/20 images ███░░░░░░░░░░░░░░░░░░░░  17% | 8 GiB | 859 MB/s'],
    [60, { ...several, idle: 12.9 }, '3/20 images  17% | 8 GiB | 859 MB/s | no data for 12 s'],
    [80, stream, 'read   16 GiB | 1718 MB/s'],
    [80, { ...stream, idle: 3 }, 'read   16 GiB | 1718 MB/s | no data for 3 s'],
  ])('of %i columns the bar shrinks before speed and time do: %j', (columns, pace, line) => {
    expect(barLine(pace, columns)).toBe(line);
    expect(line.length).toBeLessThan(columns);
  });

  test('no line of at least 50 columns is cut, whatever the numbers', () => {
    const bytes = fc.integer({ min: 0, max: 2 ** 41 });
    const phase = fc.constantFrom('read', 'write', 'verify', 'scan', 'export');
    const pace = fc.record({
      progress: fc.record({ phase, done: bytes, total: bytes, moved: bytes, toMove: bytes }),
      seconds: fc.double({ min: 1, max: 1e5, noNaN: true }),
      left: fc.double({ min: 0, max: 1e6, noNaN: true }),
      idle: fc.double({ min: 0, max: 1e5, noNaN: true }),
    });
    fc.assert(
      fc.property(pace, fc.integer({ min: 50, max: 250 }), (state, columns) => {
        const line = barLine(state, columns);
        expect(line.length).toBeLessThan(columns);
        expect(line).toContain('B/s');
        if (state.idle >= 3) expect(line).toContain(`no data for ${Math.floor(state.idle)} s`);
        else if (state.progress.total > 0) expect(line).toContain('left');
      }),
    );
  });
});

test('a log says the same in a sentence', () => {
  expect(logLine(quarter)).toBe('write 25% of 64 GiB, 8 GiB of data, 859 MB/s, 00:30 left');
  expect(logLine(stalled)).toBe('write 25% of 64 GiB, 8 GiB of data, 859 MB/s, no data for 12 s');
  expect(logLine(stream)).toBe('read 16 GiB, 16 GiB of data, 1718 MB/s');
});
