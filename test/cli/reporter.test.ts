import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createReporter } from '../../src/cli/reporter.ts';

const MIB = 1 << 20;
const terminal = process.stderr.isTTY;
let said = '';

beforeEach(() => {
  said = '';
  vi.useFakeTimers();
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  Object.defineProperty(process.stderr, 'isTTY', { value: terminal, configurable: true, writable: true });
});

/** Ten seconds of writing 10 MiB of data a second, in a disk that is half empty, reported every 100 ms. */
function work(options: Parameters<typeof createReporter>[0]): void {
  const out = createReporter(options);
  for (let tick = 0; tick <= 100; tick++) {
    const moved = tick * MIB;
    out.onProgress({ phase: 'write', done: 2 * moved, total: 200 * MIB, moved, toMove: 100 * MIB });
    vi.advanceTimersByTime(100);
  }
  out.close();
}

test('away from a terminal there is one line a second, with speed and time left from the data alone', () => {
  work({});
  const lines = said.trim().split('\n');
  expect(lines).toHaveLength(10);
  expect(lines[0]).toBe('vdistream: write 9% of 200 MiB, 9 MiB of data, 9 MB/s, 00:10 left');
});

test('with --json each line is an object', () => {
  work({ json: true });
  const first = JSON.parse(said.split('\n')[0] ?? '');
  expect(first).toEqual({
    progress: {
      phase: 'write',
      done: 18 * MIB,
      total: 200 * MIB,
      moved: 9 * MIB,
      toMove: 100 * MIB,
      seconds: 1,
      idle: expect.closeTo(0.1),
    },
  });
});

test('with --quiet there is nothing, warnings included', () => {
  work({ quiet: true });
  createReporter({ quiet: true }).onWarning({ code: 'TAR_END_MISSING', message: 'no end' });
  expect(said).toBe('');
});

test('a warning is one line that names the member and the code', () => {
  createReporter({}).onWarning({ code: 'VHD_GEOMETRY', message: 'odd', member: '0.vhd' });
  expect(said).toBe('vdistream: warning: 0.vhd: odd (VHD_GEOMETRY)\n');
});

test('a process that ends while a bar is shown restores the terminal', async () => {
  Object.defineProperty(process.stderr, 'isTTY', { value: true, configurable: true, writable: true });
  const before = process.listeners('exit');
  const out = createReporter({});
  const update = (): void => out.onProgress({ phase: 'write', done: 1, total: 2, moved: 1, toMove: 2 });
  update();
  vi.advanceTimersByTime(200);
  await import('cli-progress');
  vi.advanceTimersByTime(200);
  expect(said).toContain('\x1b[?25l'); // no cursor
  said = '';
  const [atExit] = process.listeners('exit').filter((one) => !before.includes(one));
  atExit?.(130);
  expect(said).toContain('\x1b[?25h');
  if (atExit !== undefined) process.off('exit', atExit);
});

/** Ten seconds in which half of the disk comes, and twelve in which nothing does. */
function stall(options: Parameters<typeof createReporter>[0]): string[] {
  const out = createReporter(options);
  for (let tick = 1; tick <= 100; tick++) {
    out.onProgress({ phase: 'write', done: tick * MIB, total: 200 * MIB, moved: tick * MIB, toMove: 200 * MIB });
    vi.advanceTimersByTime(100);
  }
  said = '';
  vi.advanceTimersByTime(12_000);
  out.close();
  return said.trim().split('\n');
}

test('away from a terminal, a source that stalls is seen every second, and its speed falls', () => {
  const lines = stall({});
  expect(lines).toHaveLength(12);
  expect(lines[0]).toBe('vdistream: write 50% of 200 MiB, 100 MiB of data, 10 MB/s, 00:11 left');
  expect(lines[11]).toBe('vdistream: write 50% of 200 MiB, 100 MiB of data, 5 MB/s, no data for 12 s');
});

test('with --json, a source that stalls is seen in the field idle', () => {
  const idle = stall({ json: true }).map((line) => JSON.parse(line).progress.idle);
  expect(idle.map(Math.round)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
});

test('a wait before the first data is seen too', () => {
  const out = createReporter({});
  vi.advanceTimersByTime(2500);
  out.close();
  vi.advanceTimersByTime(2500);
  expect(said).toBe('vdistream: waiting, 1 s\nvdistream: waiting, 2 s\n');
});

test('a disk that is complete does not wait for data', () => {
  const out = createReporter({});
  out.onProgress({ phase: 'write', done: MIB, total: MIB, moved: MIB, toMove: MIB });
  vi.advanceTimersByTime(9000);
  out.close();
  expect(said).not.toContain('no data');
});

test('work that is over within a second shows no progress', () => {
  const out = createReporter({});
  out.onProgress({ phase: 'write', done: 1, total: 1, moved: 1, toMove: 1 });
  out.close();
  expect(said).toBe('');
});
