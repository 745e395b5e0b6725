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

/** Ten seconds of writing 10 MiB of data a second, in a disk that is half empty, told of every 100 ms. */
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
  expect(lines[0]).toBe('vdistream: write 10% of 200 MiB, 10 MiB of data, 10 MB/s, 00:09 left');
});

test('with --json each line is an object', () => {
  work({ json: true });
  const first = JSON.parse(said.split('\n')[0] ?? '');
  expect(first).toEqual({ progress: { phase: 'write', done: 20 * MIB, total: 200 * MIB, moved: 10 * MIB, toMove: 100 * MIB, seconds: 1 } });
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
  const tell = (): void => out.onProgress({ phase: 'write', done: 1, total: 2, moved: 1, toMove: 2 });
  vi.advanceTimersByTime(200);
  tell();
  await import('cli-progress');
  vi.advanceTimersByTime(200);
  tell();
  expect(said).toContain('\x1b[?25l'); // no cursor
  said = '';
  const [atExit] = process.listeners('exit').filter((one) => !before.includes(one));
  atExit?.(130);
  expect(said).toContain('\x1b[?25h');
  if (atExit !== undefined) process.off('exit', atExit);
});

test('work that is over within a second shows no progress', () => {
  const out = createReporter({});
  out.onProgress({ phase: 'write', done: 1, total: 1, moved: 1, toMove: 1 });
  out.close();
  expect(said).toBe('');
});
