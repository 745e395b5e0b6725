/** gzip() makes independent members on all cores, which every gunzip reads. */

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { gunzip } from '../../src/codec/gunzip.ts';
import { gzip } from '../../src/codec/gzip.ts';
import type { Chunks } from '../../src/cursor.ts';
import { VdiStreamError } from '../../src/errors.ts';
import { chunkSizes, collect, noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type Need, testWith } from '../support/needs.ts';

const MEMBER = 1 << 20;
const mixed = Buffer.concat([
  noise(MEMBER + 7, 1),
  Buffer.alloc(2 * MEMBER, 'a text that repeats, '),
  new Uint8Array(MEMBER - 1),
  noise(300, 2),
]);

const JUDGES: readonly { readonly need: Need; readonly argv: readonly string[] }[] = [
  { need: 'tar', argv: ['gzip', '-dc'] },
  { need: 'pigz', argv: ['pigz', '-dc'] },
  { need: 'igzip', argv: ['igzip', '-dc'] },
  { need: 'bgzip', argv: ['bgzip', '-dc'] },
  { need: 'python3', argv: ['python3', '-c', 'import gzip, sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))'] },
  { need: '7z', argv: ['7z', 'e', '-so'] },
];

describe('gzip', () => {
  describe.each(JUDGES)('judged by $need', ({ need, argv: [program = '', ...argv] }) => {
    testWith(need)('is what went in, at each level', () => {
      return Promise.all(
        [1, 2, 3, 4, 9].map(async (level) => {
          const gz = await collect(gzip(reusing(mixed, [300_000]), { level }));
          // 7z reads from a file only.
          const file = join(testFolder(), 'file.gz');
          writeFileSync(file, gz);
          const args = program === '7z' ? [...argv, file] : argv;
          const { stdout, status } = spawnSync(program, args, { input: program === '7z' ? '' : gz, maxBuffer: 1 << 28 });
          expect([level, status, stdout.equals(mixed)]).toEqual([level, 0, true]);
        }),
      );
    });
  });

  testWith('bsdtar', 'tar')('of a tar is read by bsdtar', async () => {
    const folder = testFolder();
    writeFileSync(join(folder, 'file'), mixed);
    const tar = execFileSync('tar', ['-C', folder, '-c', 'file'], { maxBuffer: 1 << 28 });
    const gz = await collect(gzip(reusing(tar, [65_536])));
    const { stdout } = spawnSync('bsdtar', ['-xOf', '-'], { input: gz, maxBuffer: 1 << 28 });
    expect(stdout.equals(mixed)).toBe(true);
  });

  test('restores any content in chunks of any size, and is the same each time', async () => {
    const contents = fc.record({ length: fc.integer({ min: 0, max: 5000 }), seed: fc.nat(), times: fc.constantFrom(1, 1, 300) });
    await fc.assert(
      fc.asyncProperty(contents, chunkSizes, fc.integer({ min: 1, max: 9 }), async ({ length, seed, times }, sizes, level) => {
        const content = Buffer.concat(Array.from({ length: times }, () => noise(length, seed)));
        const gz = await collect(gzip(reusing(content, sizes), { level }));
        expect(gunzipSync(gz).equals(content)).toBe(true);
        expect((await collect(gunzip(reusing(gz, sizes)))).equals(content)).toBe(true);
        expect((await collect(gzip(reusing(content), { level }))).equals(gz)).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  test('of nothing is a valid empty gzip', async () => {
    const gz = await collect(gzip(reusing(new Uint8Array(0))));
    expect(gunzipSync(gz)).toEqual(Buffer.alloc(0));
    expect(await collect(gunzip(reusing(gz)))).toEqual(Buffer.alloc(0));
  });

  test('has members of 1 MiB of input, without name and time, that say how long they are as those of mgzip and pgzip do', async () => {
    const gz = await collect(gzip(reusing(mixed, [100_000])));
    const lengths: number[] = [];
    for (let at = 0; at < gz.length; ) {
      expect(gz.subarray(at, at + 10).toString('hex')).toBe('1f8b08040000000000ff');
      expect(gz.subarray(at + 10, at + 16).toString('latin1')).toBe('\x08\x00IG\x04\x00');
      const size = gz.readUInt32LE(at + 16);
      lengths.push(gz.readUInt32LE(at + size - 4));
      expect(gunzipSync(gz.subarray(at, at + size)).length).toBe(lengths.at(-1));
      at += size;
    }
    expect(lengths).toEqual([MEMBER, MEMBER, MEMBER, MEMBER, 306]);
  });

  test('of noise is hardly longer than the noise', async () => {
    const content = noise(MEMBER, 5);
    for (const level of [1, 2, 3, 4, 6, 9]) {
      expect((await collect(gzip(reusing(content), { level }))).length).toBeLessThan(MEMBER + 1024);
    }
  });

  test('compresses a later level no worse', async () => {
    const text = readFileSync(process.execPath).subarray(0, 3 << 20);
    const sizes = await Promise.all([1, 2, 4, 9].map(async (level) => (await collect(gzip(reusing(text), { level }))).length));
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
  });

  test('throws the error of its source, after which nothing is left running', async () => {
    const reason = new VdiStreamError('SOURCE_READ', 'the pipe broke');
    async function* breaking(): Chunks {
      yield* reusing(mixed, [400_000]);
      throw reason;
    }
    await expect(collect(gzip(breaking()))).rejects.toBe(reason);
  });

  test('is cancelled while it waits for its source', async () => {
    const stop = new AbortController();
    let closed = 0;
    async function* stalling(): Chunks {
      try {
        yield* reusing(mixed.subarray(0, 100), [100]);
        await new Promise(() => {});
      } finally {
        closed++;
      }
    }
    const work = collect(gzip(stalling(), { signal: stop.signal }));
    setTimeout(() => stop.abort(), 20);
    expect((await failure(work)).code).toBe('CANCELLED');
    expect(closed).toBe(0); // it never yields again; its opener closes it
  });

  test('stops when its reader stops: the source is closed', async () => {
    let closed = 0;
    async function* source(): Chunks {
      try {
        for (;;) yield* reusing(mixed, [400_000]);
      } finally {
        closed++;
      }
    }
    for await (const _ of gzip(source())) break;
    await vi.waitFor(() => expect(closed).toBe(1));
  });

  test('leaves the event loop to others while it works', async () => {
    let turns = 0;
    const timer = setInterval(() => {
      turns++;
    }, 1);
    await collect(gzip(reusing(Buffer.alloc(24 << 20, 'text, '), [65_536]), { level: 9 }));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(20);
  });
});
