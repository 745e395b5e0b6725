import { createHash } from 'node:crypto';
import { afterEach, expect, test, vi } from 'vitest';
import { createHasher } from '../../src/host/hasher.ts';
import type { Hasher } from '../../src/host/native.ts';
import { loadAddon } from '../../src/host/native.ts';
import { noise } from '../support/chunks.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

/** As in a build of Node that does not export its OpenSSL. */
const withoutOpenSsl = (): void => {
  vi.spyOn(loadAddon().addon, 'Hasher', 'get').mockReturnValue(undefined);
};

const bytes = noise(3_000_000, 1);

async function digestOf(hasher: Hasher | undefined, pieces: readonly number[]): Promise<string | undefined> {
  let at = 0;
  for (const length of [...pieces, bytes.length]) {
    await hasher?.update(bytes.subarray(at, at + length));
    at += length;
  }
  return hasher?.digest();
}

const ALGORITHMS = ['sha512', 'sha256', 'md5', 'blake2b512', 'blake2s256', 'sha3-512'];

test.each(ALGORITHMS)('%s is that of node:crypto, however the bytes are split, with and without the addon', async (algorithm) => {
  const expected = createHash(algorithm).update(bytes).digest('hex');
  for (const pieces of [[], [0], [1, 511, 2_000_000], [1 << 20]]) {
    expect(await digestOf(createHasher(algorithm), pieces)).toBe(expected);
  }
  withoutOpenSsl();
  expect(await digestOf(createHasher(algorithm), [1, 511, 2_000_000])).toBe(expected);
});

test('a hash that Node does not have is none', () => {
  expect(createHasher('blake9')).toBeUndefined();
  expect(createHasher('')).toBeUndefined();
});

test('a hasher accepts one update at a time, and none after its digest', async () => {
  const create = loadAddon().addon.Hasher;
  if (create === undefined) throw new Error('this Node exports its OpenSSL');
  const hasher = new create('sha512');
  const first = hasher.update(bytes);
  expect(() => hasher.update(bytes)).toThrow(new TypeError('update: the last update has not settled yet'));
  expect(() => hasher.digest()).toThrow(TypeError);
  await first;
  hasher.digest();
  expect(() => hasher.update(bytes)).toThrow(new TypeError('update: the digest has been computed already'));
  expect(() => new create('blake9')).toThrow(new RangeError('Hasher: there is no such hash'));
});
