/** The digests that Glance has of an image: each that Node can make is compared, whatever hashlib calls it; another is a warning. */

import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { failure } from '../support/failure.ts';
import { type Fields, glanceV2, honest, vhd, written } from '../support/glance-stand-in.ts';
import { testWith } from '../support/needs.ts';

describe('a digest that', () => {
  // hashlib's names, and how long hashlib makes each: independent of the code under test.
  const BYTES = {
    blake2b: 64,
    blake2s: 32,
    sha3_224: 28,
    sha3_256: 32,
    sha3_384: 48,
    sha3_512: 64,
    sha224: 28,
    sha384: 48,
    sha512_256: 32,
  };

  testWith('python3').each(Object.entries(BYTES))('python calls %s is compared, %i bytes long', async (name, bytes) => {
    const script = `import hashlib, sys; print(hashlib.new('${name}', sys.stdin.buffer.read()).hexdigest())`;
    const right = execFileSync('python3', ['-c', script], { input: vhd, encoding: 'utf8' }).trim();
    expect(right.length).toBe(2 * bytes);
    for (const algorithm of [name, name.toUpperCase()]) {
      const warnings = await written([await glanceV2({ ...honest, os_hash_algo: algorithm, os_hash_value: right })]);
      expect(warnings).toEqual([]);
      const wrong = await glanceV2({ ...honest, os_hash_algo: algorithm, os_hash_value: '00'.repeat(bytes) });
      expect((await failure(written([wrong]))).code).toBe('SOURCE_CHECKSUM');
    }
  });

  test.each<[string, Fields, RegExp | undefined]>([
    ['cannot be computed is a warning', { os_hash_algo: 'blake9', os_hash_value: '00' }, /blake9.*only its md5/],
    [
      'cannot be computed, and is the only one, too',
      { os_hash_algo: 'blake9', os_hash_value: '00', checksum: null },
      /blake9.*not compared/,
    ],
    ['has no value is none', { os_hash_algo: 'blake9', os_hash_value: null }, undefined],
  ])('%s', async (_, fields, message) => {
    const warnings = await written([await glanceV2({ ...honest, ...fields })]);
    const expected = message && { code: 'GLANCE_UNCOMPARED', message: expect.stringMatching(message) };
    expect(warnings).toEqual(expected === undefined ? [] : [expected]);
  });
});
