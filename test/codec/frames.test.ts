import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { eachFrame, type FrameFormat, wholeFrames } from '../../src/codec/frames.ts';
import { LZ4 } from '../../src/codec/lz4-frames.ts';
import { ZSTD } from '../../src/codec/zstd-frames.ts';
import { chunkSizes, collect, noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testWith } from '../support/needs.ts';

const run = (program: string, content: Uint8Array, options: readonly string[]): Buffer =>
  execFileSync(program, ['-c', ...options], { input: content, maxBuffer: 1 << 28, stdio: ['pipe', 'pipe', 'ignore'] });

/** RFC 8878, 3.1.2: a magic number, a length, and bytes that mean nothing. lz4 has the same. */
function skippable(length: number): Buffer {
  const frame = Buffer.alloc(8 + length, 0x28);
  frame.writeUInt32LE(0x184d2a53);
  frame.writeUInt32LE(length, 4);
  return frame;
}

const text = Buffer.from('a text '.repeat(10_000));

// zstd: raw, RLE and compressed blocks; with and without a checksum, a window and a content size.
// lz4: stored and compressed blocks; with and without checksums of the content and of the blocks, a content size, and a legacy size.
const FORMATS: readonly { readonly format: FrameFormat; readonly frames: () => readonly Buffer[] }[] = [
  {
    format: ZSTD,
    frames: () => [
      run('zstd', noise(300_000, 1), []),
      run('zstd', new Uint8Array(1 << 20), ['--no-check']),
      run('zstd', text, ['--long=27', '-19']),
      run('zstd', new Uint8Array(0), []),
      run('zstd', noise(10, 1), ['--no-check', '--stream-size=10']),
      run('zstd', noise(300, 1), ['--stream-size=300']),
      skippable(1000),
      skippable(0),
    ],
  },
  {
    format: LZ4,
    frames: () => [
      run('lz4', noise(300_000, 1), []),
      run('lz4', new Uint8Array(1 << 20), ['--no-frame-crc']),
      run('lz4', text, ['-9', '-B4', '-BX']),
      run('lz4', new Uint8Array(0), []),
      run('lz4', noise(300, 1), ['-BD', '-B7', '--no-frame-crc']),
      skippable(1000),
      skippable(0),
    ],
  },
];

describe.each(FORMATS)('a stream of $format.name', ({ format, frames }) => {
  const withProgram = testWith(format === LZ4 ? 'lz4' : 'zstd');

  withProgram('of whole frames passes unchanged, in chunks of any size, without the zeros after it', async () => {
    const stream = Buffer.concat(frames());
    await fc.assert(
      fc.asyncProperty(chunkSizes, fc.integer({ min: 0, max: 2000 }), async (sizes, zeros) => {
        const padded = Buffer.concat([stream, new Uint8Array(zeros)]);
        expect(Buffer.compare(await collect(wholeFrames(format, reusing(padded, sizes))), stream)).toBe(0);
      }),
      { numRuns: 20 },
    );
  });

  withProgram('comes apart into its frames, in chunks of any size', async () => {
    await fc.assert(
      fc.asyncProperty(chunkSizes, fc.integer({ min: 0, max: 10 }), async (sizes, zeros) => {
        const all = frames();
        const found: Buffer[] = [];
        const stream = Buffer.concat([...all, new Uint8Array(zeros)]);
        for await (const frame of eachFrame(format, reusing(stream, sizes))) found.push(await collect(frame));
        expect(found.map((frame) => frame.toString('hex'))).toEqual(all.map((frame) => frame.toString('hex')));
      }),
      { numRuns: 3 },
    );
  });

  withProgram('that is cut inside any of its frames is truncated', async () => {
    for (const frame of frames()) {
      for (const end of new Set([1, 3, 4, 5, 6, 8, frame.length >> 1, frame.length - 4, frame.length - 1])) {
        if (end <= 0 || end >= frame.length) continue;
        const error = await failure(collect(wholeFrames(format, reusing(frame.subarray(0, end), [100]))));
        expect(error).toMatchObject({ code: 'COMPRESSION_TRUNCATED', offset: end });
      }
    }
  });

  withProgram('that is followed by other data is refused, with the offset', async () => {
    const [frame] = frames();
    const stream = Buffer.concat([frame ?? Buffer.alloc(0)]);
    const half = Buffer.concat([new Uint8Array(512), Buffer.from('\0x')]);
    for (const trailing of [Buffer.from('other data'), half]) {
      for (const sizes of [[1], [7, 100], [1_000_000]]) {
        const error = await failure(collect(wholeFrames(format, reusing(Buffer.concat([stream, trailing]), sizes))));
        expect(error.code).toBe('COMPRESSION_TRAILING');
        expect(error.offset).toBeGreaterThanOrEqual(stream.length);
        expect(error.offset).toBeLessThan(stream.length + trailing.length);
      }
    }
    const short = await failure(collect(wholeFrames(format, reusing(Buffer.concat([stream, Buffer.from('ab')])))));
    expect(short.code).toBe('COMPRESSION_TRUNCATED');
  });

  withProgram('of nothing, or of zeros alone, is no stream', async () => {
    expect((await failure(collect(wholeFrames(format, reusing(new Uint8Array(0)))))).code).toBe('COMPRESSION_TRUNCATED');
    expect((await failure(collect(wholeFrames(format, reusing(new Uint8Array(512)))))).code).toBe('COMPRESSION_TRAILING');
  });
});
