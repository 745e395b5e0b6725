import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type Compression, compressionOf, decompress } from '../../src/codec/compression.ts';
import { gunzip } from '../../src/codec/gunzip.ts';
import type { Chunks } from '../../src/cursor.ts';
import { VdiStreamError } from '../../src/errors.ts';
import { chunkSizes, collect, noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';

/** Content that compresses, content that does not, and nothing. */
const contents = fc.oneof(
  fc.record({ length: fc.integer({ min: 0, max: 5000 }), seed: fc.nat() }).map(({ length, seed }) => noise(length, seed)),
  fc
    .record({ length: fc.integer({ min: 0, max: 300_000 }), byte: fc.nat(255) })
    .map(({ length, byte }) => new Uint8Array(length).fill(byte)),
  fc.string({ maxLength: 500 }).map((text) => Buffer.from(text.repeat(20))),
);
const levels = fc.integer({ min: 0, max: 9 }) as fc.Arbitrary<number>;

const small = Buffer.from('a small text, a small text, a small text of no importance');
const smallGz = gzipSync(small);
const two = Buffer.concat([smallGz, gzipSync(noise(150, 1))]);

describe('gunzip', () => {
  test('restores what was compressed, at any level, in any number of members, in chunks of any size', async () => {
    const member = fc.record({ content: contents, level: levels });
    await fc.assert(
      fc.asyncProperty(fc.array(member, { minLength: 1, maxLength: 5 }), chunkSizes, fc.nat(2000), async (members, sizes, padding) => {
        const gz = Buffer.concat([...members.map(({ content, level }) => gzipSync(content, { level })), new Uint8Array(padding)]);
        const found = await collect(gunzip(reusing(gz, sizes)));
        expect(Buffer.compare(found, Buffer.concat(members.map(({ content }) => content)))).toBe(0);
      }),
    );
  });

  test('restores several megabytes, more than fit its windows', async () => {
    const content = Buffer.concat([noise(3 << 20, 7), new Uint8Array(5 << 20), noise(1234, 8)]);
    for (const gz of [gzipSync(content), execFileSync('gzip', ['-1'], { input: content, maxBuffer: 1 << 28 })]) {
      expect(Buffer.compare(await collect(gunzip(reusing(gz, [65_536]))), content)).toBe(0);
    }
  });

  test('yields chunks that stay unchanged until the next one is requested', async () => {
    const content = noise(5 << 20, 3);
    let at = 0;
    for await (const chunk of gunzip(reusing(gzipSync(content), [300_000]))) {
      // Time for whatever works ahead to overwrite the wrong window.
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(Buffer.compare(chunk, content.subarray(at, at + chunk.length))).toBe(0);
      at += chunk.length;
    }
    expect(at).toBe(content.length);
  });

  test('accepts the optional header fields: name, comment, extra field and header CRC', async () => {
    const head = Buffer.from([0x1f, 0x8b, 8, 0x02 | 0x04 | 0x08 | 0x10, 0, 0, 0, 0, 0, 3]);
    const fields = Buffer.concat([head, Buffer.from([3, 0, 1, 2, 3]), Buffer.from('name\0comment\0')]);
    const sum = Buffer.alloc(2);
    sum.writeUInt16LE(crc32(fields) & 0xffff);
    const gz = Buffer.concat([fields, sum, deflateRawSync(small), smallGz.subarray(-8)]);
    for (const sizes of [[gz.length], [1]]) expect(await collect(gunzip(reusing(gz, sizes)))).toEqual(small);
  });

  test('reports truncation wherever the stream is cut', async () => {
    for (let end = 0; end < two.length; end++) {
      // Right after the first member the stream is complete.
      if (end === smallGz.length) continue;
      for (const sizes of [[1000], [1]]) {
        const error = await failure(collect(gunzip(reusing(two.subarray(0, end), sizes))));
        expect([error.code, end]).toEqual(['COMPRESSION_TRUNCATED', end]);
      }
    }
  });

  test('yields everything before the cut, which may be all the caller needs', async () => {
    const content = noise(3 << 20, 5);
    const gz = gzipSync(content);
    let got = 0;
    const error = await failure(
      (async () => {
        for await (const chunk of gunzip(reusing(gz.subarray(0, -1), [65_536]))) {
          expect(Buffer.compare(chunk, content.subarray(got, got + chunk.length))).toBe(0);
          got += chunk.length;
        }
      })(),
    );
    expect([error.code, got]).toEqual(['COMPRESSION_TRUNCATED', content.length]);
  });

  test.each([
    ['a wrong CRC', smallGz.length - 8],
    ['a wrong length', smallGz.length - 4],
    ['method 7', 2],
  ])('detects %s', async (_, at) => {
    const bad = Buffer.from(smallGz);
    bad[at] = at === 2 ? 7 : (bad[at] ?? 0) ^ 1;
    for (const sizes of [[1000], [1]]) {
      expect((await failure(collect(gunzip(reusing(bad, sizes))))).code).toBe(at === 2 ? 'COMPRESSION_DATA' : 'COMPRESSION_CHECKSUM');
    }
  });

  test('never yields wrong content when a bit of the data, its CRC or its length is flipped', async () => {
    const content = noise(200, 9);
    const gz = gzipSync(content);
    let found = 0;
    for (let bit = 80; bit < gz.length * 8; bit++) {
      const bad = Buffer.from(gz);
      bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const outcome = await collect(gunzip(reusing(bad))).catch((error: unknown) => error);
      // Some bits mean nothing: those that fill up the byte before a stored block.
      if (outcome instanceof Buffer) expect(Buffer.compare(outcome, content)).toBe(0);
      else {
        found++;
        expect(outcome).toBeInstanceOf(VdiStreamError);
        // A flip may make the data look longer, or shorter with something after it.
        expect(outcome).toMatchObject({ code: expect.stringMatching(/^COMPRESSION_(?:DATA|CHECKSUM|TRUNCATED|TRAILING)$/) });
      }
    }
    expect(found).toBeGreaterThanOrEqual((gz.length - 10) * 8 - 7);
  });

  test('reports an empty stream as truncated', async () => {
    expect((await failure(collect(gunzip(reusing(new Uint8Array(0)))))).code).toBe('COMPRESSION_TRUNCATED');
  });

  test('accepts zero padding of any length after the stream', async () => {
    for (const padding of [1, 511, 512, 100_000]) {
      for (const sizes of [[1000], [1, 700], [smallGz.length]]) {
        const found = await collect(gunzip(reusing(Buffer.concat([smallGz, new Uint8Array(padding)]), sizes)));
        expect(found).toEqual(small);
      }
    }
  });

  test.each([
    ['other data', Buffer.from('other data'), 0],
    ['padding and then other data', Buffer.concat([new Uint8Array(700), Buffer.from('x')]), 700],
    ['one nonzero byte', Buffer.from([1]), 0],
    ['padding and then another member', Buffer.concat([new Uint8Array(12), smallGz]), 12],
    ['half the magic and then other data', Buffer.from([0x1f, 0x00, 0x00]), 0],
    ['half the magic and then much other data', Buffer.concat([Buffer.from([0x1f]), noise(5000, 4)]), 0],
  ])('refuses %s after the stream, and reports the offset', async (_, trailing, at) => {
    for (const sizes of [[100_000], [smallGz.length], [smallGz.length + 1, 5000], [1, 700]]) {
      const error = await failure(collect(gunzip(reusing(Buffer.concat([smallGz, trailing]), sizes))));
      expect([error.code, error.offset]).toEqual(['COMPRESSION_TRAILING', smallGz.length + at]);
    }
  });

  test('passes on an error of the source unchanged, whenever it occurs', async () => {
    for (const after of [0, 1, 20, smallGz.length - 1, smallGz.length, two.length]) {
      const reason = new VdiStreamError('SOURCE_READ', 'the pipe broke', { offset: after });
      async function* breaking(): Chunks {
        yield* reusing(two.subarray(0, after), [7]);
        throw reason;
      }
      await expect(collect(gunzip(breaking()))).rejects.toBe(reason);
    }
  });

  test('stops when its reader stops: the source is closed, and nothing keeps running', async () => {
    const gz = gzipSync(noise(6 << 20, 2));
    for (const take of [1, 2, 3]) {
      let closed = 0;
      async function* source(): Chunks {
        try {
          yield* reusing(gz, [100_000]);
        } finally {
          closed++;
        }
      }
      let taken = 0;
      for await (const chunk of gunzip(source())) {
        taken += chunk.length > 0 ? 1 : 0;
        if (taken === take) break;
      }
      await vi.waitFor(() => expect(closed).toBe(1));
    }
  });

  test('stops silently when its reader stops and the source fails afterwards', async () => {
    const unhandled: unknown[] = [];
    const listener = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', listener);
    async function* source(): Chunks {
      yield* reusing(gzipSync(noise(3 << 20, 2)).subarray(0, -4), [100_000]);
      throw new VdiStreamError('SOURCE_READ', 'the pipe broke');
    }
    for (let turn = 0; turn < 5; turn++) {
      for await (const _ of gunzip(source())) break;
      for (let tick = 0; tick < 50; tick++) await new Promise((resolve) => setImmediate(resolve));
    }
    process.off('unhandledRejection', listener);
    expect(unhandled).toEqual([]);
  });

  test('does not pile up listeners: no leak warning, however many chunks there are', async () => {
    const warnings: Error[] = [];
    const listener = (warning: Error): void => void warnings.push(warning);
    process.on('warning', listener);
    await collect(gunzip(reusing(gzipSync(noise(100_000, 1)), [500])));
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', listener);
    expect(warnings).toEqual([]);
  });
});

describe('errors from the worker thread', () => {
  test('have an offset in the compressed bytes, close to the damage', async () => {
    const gz = gzipSync(noise(500_000, 1));
    for (const at of [5000, 250_000, gz.length - 8]) {
      const bad = Buffer.from(gz);
      bad.fill(0xff, at, at + 4);
      const error = await failure(collect(gunzip(reusing(bad, [4096]))));
      expect(['COMPRESSION_DATA', 'COMPRESSION_CHECKSUM']).toContain(error.code);
      // Stored blocks are up to 64 KiB long, and a wrong one is detected only at its end; a wrong CRC only at the very end.
      expect(error.offset).toBeGreaterThan(at);
      expect(error.offset).toBeLessThanOrEqual(gz.length);
    }
    const cut = await failure(collect(gunzip(reusing(gz.subarray(0, 1000), [300]))));
    expect(cut).toMatchObject({ code: 'COMPRESSION_TRUNCATED', offset: 1000 });
  });
});

describe('a compression is detected by', () => {
  test('its first bytes', () => {
    expect(compressionOf(smallGz)).toBe('gzip');
    expect(compressionOf(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0]))).toBe('zstd');
    expect(compressionOf(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]))).toBe('xz');
    expect(compressionOf(Buffer.from('conect'))).toBe('none');
    expect(compressionOf(new Uint8Array(0))).toBe('none');
    expect(compressionOf(Buffer.from([0x1f]))).toBe('none');
  });

  test.each<[Compression, string]>([
    ['bzip2', 'BZh91AY&'],
    ['bzip2', 'BZh1\x17\x72\x45\x38'],
    ['lz4', '\x04\x22\x4d\x18\x40\x40'],
    ['zstd', '\x50\x2a\x4d\x18\x04\0\0\0'],
    ['zstd', '\x5f\x2a\x4d\x18'],
    ['none', '\x4f\x2a\x4d\x18'],
    ['none', 'BZh91A'],
    ['none', 'BZhello!'],
  ])('%s is detected by the bytes %j', (name, magic) => {
    expect(compressionOf(Buffer.from(magic, 'latin1'))).toBe(name);
  });
});

const MAGICS = {
  zstd: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]),
  xz: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]),
  bzip2: Buffer.from('BZh91AY&SY'),
  lz4: Buffer.from([0x04, 0x22, 0x4d, 0x18]),
};

describe.each(['zstd', 'xz', 'bzip2', 'lz4'] as const)('%s', (program) => {
  const path = process.env.PATH ?? '';
  afterEach(() => {
    process.env.PATH = path;
  });
  const compress = (content: Uint8Array): Buffer => execFileSync(program, ['-1', '-c'], { input: content, maxBuffer: 1 << 28 });
  // From 22.15 on Node does zstd itself and no program is asked.
  const inNode = program === 'zstd' && Reflect.has(process.versions, 'zstd');
  const programTest = testWith(program);
  const hasProgram = programTest === test;

  programTest('input is decompressed, cut anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(contents, chunkSizes, async (content, sizes) => {
        expect(Buffer.compare(await collect(decompress(program, reusing(compress(content), sizes))), Buffer.from(content))).toBe(0);
      }),
      { numRuns: 15 },
    );
  });

  programTest('input of several megabytes, in several frames, is decompressed', async () => {
    const content = noise(4 << 20, 1);
    const frames = Buffer.concat([compress(content), compress(content.subarray(0, 1000))]);
    const found = await collect(decompress(program, reusing(frames, [50_000])));
    expect(Buffer.compare(found, Buffer.concat([content, content.subarray(0, 1000)]))).toBe(0);
  });

  programTest('input that is cut is a typed error', async () => {
    const packed = compress(noise(100_000, 1));
    for (const end of [7, 100, packed.length >> 1, packed.length - 1]) {
      const { code } = await failure(collect(decompress(program, reusing(packed.subarray(0, end), [5000]))));
      expect(code).toBe('COMPRESSION_TRUNCATED');
    }
  });

  programTest('input that is damaged is a typed error', async () => {
    const packed = compress(noise(300_000, 1));
    for (const at of [8, 1000, packed.length >> 1, packed.length - 3]) {
      const bad = Buffer.from(packed);
      bad.fill(0x55, at, at + 3);
      const { code } = await failure(collect(decompress(program, reusing(bad, [5000]))));
      expect(['COMPRESSION_DATA', 'COMPRESSION_CHECKSUM', 'COMPRESSION_TRUNCATED']).toContain(code);
    }
  });

  programTest('refuses other data after the stream with a typed error', async () => {
    const bad = Buffer.concat([compress(noise(1000, 1)), Buffer.from('other data')]);
    const { code } = await failure(collect(decompress(program, reusing(bad, [5000]))));
    expect(['COMPRESSION_DATA', 'COMPRESSION_CHECKSUM', 'COMPRESSION_TRAILING', 'COMPRESSION_TRUNCATED']).toContain(code);
  });

  programTest('accepts zeros after the stream, in chunks of any size, and nothing else', async () => {
    const content = noise(3000, 1);
    const packed = compress(content);
    // xz allows them in words of four bytes (The .xz File Format, 2.2).
    for (const zeros of [4, 8, 512, 100_000]) {
      const padded = Buffer.concat([packed, new Uint8Array(zeros)]);
      for (const size of [1, 7, 512, padded.length]) {
        if (size === 1 && zeros > 512) continue;
        expect(Buffer.compare(await collect(decompress(program, reusing(padded, [size]))), content)).toBe(0);
      }
      const bad = await failure(collect(decompress(program, reusing(Buffer.concat([padded, Buffer.from('x')]), [100]))));
      // xz calls padding that is not a whole number of words the end of its input.
      expect(['COMPRESSION_DATA', 'COMPRESSION_TRAILING', 'COMPRESSION_TRUNCATED']).toContain(bad.code);
    }
  });

  programTest('passes on an error of the source unchanged', async () => {
    const packed = compress(noise(100_000, 1));
    const reason = new VdiStreamError('SOURCE_READ', 'the pipe broke');
    async function* breaking(): Chunks {
      yield* reusing(packed.subarray(0, 50_000), [5000]);
      throw reason;
    }
    await expect(collect(decompress(program, breaking()))).rejects.toBe(reason);
  });

  programTest('a reader that stops ends the program too', async () => {
    const packed = compress(noise(8 << 20, 1));
    let closed = 0;
    async function* source(): Chunks {
      try {
        yield* reusing(packed, [5000]);
      } finally {
        closed++;
      }
    }
    for await (const _ of decompress(program, source())) break;
    await vi.waitFor(() => expect(closed).toBe(1));
    if (!inNode) await vi.waitFor(() => expect(children(program)).toEqual([]));
  });

  test.skipIf(inNode)('fails with an error that names the program when the program is missing', async () => {
    process.env.PATH = testFolder();
    for (const length of [4, 100, 1 << 20]) {
      const bytes = Buffer.concat([MAGICS[program], noise(length, 1)]);
      const error = await failure(collect(decompress(program, reusing(bytes, [65_536]))));
      expect(error.code).toBe('COMPRESSION_TOOL');
      expect(error.message).toContain(program);
    }
  });

  test.skipIf(inNode || !hasProgram)('is complete when the program closes its output some time before it exits', async () => {
    const folder = testFolder();
    // xz does so: it closes standard output to find write errors, and only then exits.
    writeFileSync(join(folder, program), '#!/bin/sh\n/bin/cat\nexec >&-\n/bin/sleep 0.3\nexit 0\n');
    chmodSync(join(folder, program), 0o755);
    const content = compress(noise(100_000, 1));
    process.env.PATH = folder;
    expect(Buffer.compare(await collect(decompress(program, reusing(content, [5000]))), content)).toBe(0);
  });

  test.skipIf(inNode || !hasProgram)('fails with what the program printed when the program fails', async () => {
    const folder = testFolder();
    writeFileSync(join(folder, program), '#!/bin/sh\necho "the sky fell" >&2\nexit 1\n');
    chmodSync(join(folder, program), 0o755);
    const inputs = [10, 5 << 20].map((length) => compress(noise(length, 1)));
    process.env.PATH = folder;
    for (const input of inputs) {
      const error = await failure(collect(decompress(program, reusing(input, [65_536]))));
      expect(error.code).toBe('COMPRESSION_DATA');
      expect(error.message).toContain('the sky fell');
    }
  });
});

/** Programs of this name that this process has started and that still run. */
function children(program: string): string[] {
  const all = execFileSync('ps', ['--ppid', String(process.pid), '-o', 'stat=,comm='], { encoding: 'utf8' });
  return all.split('\n').filter((line) => line.endsWith(` ${program}`) && !line.startsWith('Z'));
}
