/** No call of the addon can crash it. The junk runs in processes of its own, where a crash is seen. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { CODECS, loadAddon, native } from '../../src/host/native.ts';
import { addonPath } from '../support/faults.ts';
import { testFolder } from '../support/folder.ts';

const run = promisify(execFile);
const program = fileURLToPath(new URL('../support/native-junk.mjs', import.meta.url));
const CALLS = 20_000;
const SEEDS = process.env.VDISTREAM_LONG === '1' ? 200 : 4;

test.each(Array.from({ length: SEEDS }, (_, index) => 2 * index + 1))(
  'junk for every export is an error, never a crash: seed %d',
  async (seed) => {
    // Files of at most 64 MiB, whatever is written to them.
    const junk = [process.execPath, program, addonPath, testFolder(), String(seed), String(CALLS)];
    const { stdout } = await run('prlimit', ['--fsize=67108864', ...junk], { timeout: 100_000 });
    const { wrong, returned, resolved, refused, failed } = JSON.parse(stdout);
    expect(wrong, `seed ${seed}`).toEqual([]);
    expect(returned + resolved + refused + failed).toBe(CALLS);
    expect(Math.min(returned, resolved, refused, failed)).toBeGreaterThan(CALLS / 20);
  },
);

test('an inflater runs once at a time', async () => {
  const inflater = new (loadAddon().addon.Inflater)(CODECS.zlib);
  const first = inflater.run(new Uint8Array(10), new Uint8Array(10));
  expect(() => inflater.run(new Uint8Array(10), new Uint8Array(10))).toThrow(TypeError);
  expect(() => inflater.reset()).toThrow('the last run has not settled yet');
  await first;
  inflater.reset();
});

test('zeros are found in memory that begins at any address', () => {
  const memory = new Uint8Array(1024);
  for (let start = 0; start < 64; start++) {
    expect(native().firstNonZero(memory.subarray(start))).toBe(-1);
    expect(native().zeroRuns(memory.subarray(start, start + 512), 512)).toEqual([0, 512]);
  }
});

test('an error says which argument of which call is wrong', () => {
  const read = (...values: unknown[]): unknown => Reflect.apply(native().read, undefined, values);
  expect(() => read('3')).toThrow(new TypeError('read: fd must be a number'));
  expect(() => read(-1)).toThrow(new RangeError('read: fd must be a whole number from 0 to 2147483647'));
  expect(() => read(3, [])).toThrow(new TypeError('read: bytes must be a Uint8Array'));
  expect(() => read(3, new Uint8Array(2), 2 ** 53 - 1)).toThrow(new RangeError('read: offset + length is too large'));
});
