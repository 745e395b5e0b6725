import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { wholeFrames } from '../../src/codec/zstd-frames.ts';
import { chunkSizes, collect, noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testWith } from '../support/needs.ts';

const compress = (content: Uint8Array, ...options: readonly string[]): Buffer =>
  execFileSync('zstd', ['-c', ...options], { input: content, maxBuffer: 1 << 28 });

/** RFC 8878, 3.1.2: a magic number, a length, and bytes that mean nothing. */
function skippable(length: number): Buffer {
  const frame = Buffer.alloc(8 + length, 0x28);
  frame.writeUInt32LE(0x184d2a53);
  frame.writeUInt32LE(length, 4);
  return frame;
}

describe('a zstd stream', () => {
  const zstdTest = testWith('zstd');
  // Raw, RLE and compressed blocks; with and without a checksum, a window and a content size.
  const frames = () => [
    compress(noise(300_000, 1)),
    compress(new Uint8Array(1 << 20), '--no-check'),
    compress(Buffer.from('a text '.repeat(10_000)), '--long=27', '-19'),
    compress(new Uint8Array(0)),
    compress(noise(10, 1), '--no-check', '--stream-size=10'),
    compress(noise(300, 1), '--stream-size=300'),
    skippable(1000),
    skippable(0),
  ];

  zstdTest('of whole frames passes unchanged, in chunks of any size', async () => {
    const stream = Buffer.concat(frames());
    await fc.assert(
      fc.asyncProperty(chunkSizes, async (sizes) => {
        expect(Buffer.compare(await collect(wholeFrames(reusing(stream, sizes))), stream)).toBe(0);
      }),
      { numRuns: 20 },
    );
  });

  zstdTest('that is cut inside any of its frames is truncated', async () => {
    for (const frame of frames()) {
      for (const end of new Set([1, 3, 4, 5, 6, 8, frame.length >> 1, frame.length - 4, frame.length - 1])) {
        if (end <= 0 || end >= frame.length) continue;
        const error = await failure(collect(wholeFrames(reusing(frame.subarray(0, end), [100]))));
        expect(error).toMatchObject({ code: 'COMPRESSION_TRUNCATED', offset: end });
      }
    }
  });

  zstdTest('that is followed by other data is refused, with the offset', async () => {
    const frame = compress(noise(1000, 1));
    for (const trailing of [Buffer.from('other data'), new Uint8Array(512)]) {
      for (const sizes of [[1], [7, 100], [100_000]]) {
        const error = await failure(collect(wholeFrames(reusing(Buffer.concat([frame, trailing]), sizes))));
        expect(error).toMatchObject({ code: 'COMPRESSION_TRAILING', offset: frame.length });
      }
    }
    const short = await failure(collect(wholeFrames(reusing(Buffer.concat([frame, Buffer.from('ab')])))));
    expect(short.code).toBe('COMPRESSION_TRUNCATED');
  });
});
