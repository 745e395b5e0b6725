/** Gzip from strangers: members with and without sizes, true and false, with bits flipped, cut anywhere. */

import { constants, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { gunzip } from '../src/codec/gunzip.ts';
import type { InflateName } from '../src/codec/inflate.ts';
import { VdiStreamError } from '../src/errors.ts';
import { chunkSizes, collect, noise, reusing } from '../test/support/chunks.ts';
import { gzipMember, sizedMember } from '../test/support/gzip-members.ts';
import { inflates, usualInflate } from '../test/support/inflates.ts';
import { campaign, limit } from './campaign.ts';

async function outcome(gz: Uint8Array, sizes: readonly number[], inflate: InflateName): Promise<Buffer | string> {
  try {
    return await collect(gunzip(reusing(gz, sizes), inflate));
  } catch (error) {
    // Node's own zlib names the start of the piece in which it found the damage, and the pieces depend on the sizes.
    if (error instanceof VdiStreamError) return inflate === 'node' ? error.code : `${error.code} at ${error.offset}`;
    throw error;
  }
}

/** The same stream with names for its extra fields that nobody looks for. */
function unsized(gz: Buffer): Buffer {
  const text = gz.toString('latin1').replaceAll('IG\x04\0', 'xx\x04\0').replaceAll('BC\x02\0', 'xx\x02\0');
  return Buffer.from(text, 'latin1');
}

const member = fc
  .record({
    length: fc.integer({ min: 0, max: 6000 }),
    seed: fc.nat(),
    bits: fc.integer({ min: 1, max: 8 }),
    kind: fc.constantFrom('IG', 'BC', 'plain', 'zlib'),
    error: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -100, max: 70_000 }) }),
    level: fc.integer({ min: 0, max: 9 }),
    strategy: fc.constantFrom(constants.Z_DEFAULT_STRATEGY, constants.Z_HUFFMAN_ONLY, constants.Z_RLE, constants.Z_FIXED),
  })
  .map(({ length, seed, bits, kind, error, level, strategy }) => {
    const content = noise(length, seed).map((byte) => byte & (2 ** bits - 1));
    if (kind === 'zlib') return gzipSync(content, { level, strategy });
    return kind === 'plain' ? gzipMember(content, { level }) : sizedMember(content, kind === 'IG' ? 'IG' : 'BC', error, { level });
  });
const stream = fc
  .record({
    members: fc.array(member, { minLength: 1, maxLength: 8 }),
    flips: fc.array(fc.record({ at: fc.nat(), bit: fc.nat(7) }), { maxLength: 3 }),
    cut: fc.option(fc.nat(), { freq: 3 }),
  })
  .map(({ members, flips, cut }) => {
    const gz = Buffer.concat(members);
    for (const { at, bit } of flips) gz[at % gz.length] = (gz[at % gz.length] ?? 0) ^ (1 << bit);
    return cut === null ? gz : gz.subarray(0, cut % (gz.length + 1));
  });

const SHARE = 0.15;

test('sizes change neither the bytes nor the errors, and every library accepts the same streams', { timeout: limit(SHARE) }, async () => {
  await campaign('gzip', SHARE, fc.tuple(stream, chunkSizes), async ([gz, sizes]) => {
    const expected = await outcome(unsized(gz), [70_000], usualInflate);
    expect(await outcome(gz, sizes, usualInflate)).toEqual(expected);
    for (const name of inflates) {
      if (name === 'zlib-sync') continue;
      const found = await outcome(gz, sizes, name);
      if (typeof expected === 'string') expect([name, typeof found]).toEqual([name, 'string']);
      else expect(found).toEqual(expected);
    }
  });
});
