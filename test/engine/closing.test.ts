import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import { createPool, pump } from '../../src/blocks.ts';
import type { Chunks, Cursor } from '../../src/cursor.ts';
import type { Buffers, Extent } from '../../src/disk/extent.ts';
import { VdiStreamError } from '../../src/errors.ts';
import { info, writeDisk } from '../../src/index.ts';
import { decodeVhd } from '../../src/vhd/decode.ts';
import { plainBuffers } from '../support/buffers.ts';
import { cut, noise, reusing, streamOf } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd, fixedVhd, makeFooter, makeHeader } from '../support/make-vhd.mjs';
import { memoryTarget } from '../support/memory-target.ts';
import { testWith } from '../support/needs.ts';
import { TAR_END, tarHeader, tarMember } from '../support/tar.ts';
import { type PromiseWithResolvers, withResolvers } from '../support/with-resolvers.ts';

const blocks = new Map([0, 4, 9].map((block) => [block, noise(65_536, block)]));
const vhd = dynamicVhd({ size: 655_360, blockSize: 65_536, blocks });
const damaged = Buffer.concat([vhd.subarray(0, 1536), Buffer.alloc(512), vhd.subarray(2048)]);
const tar = Buffer.concat([tarMember({}, vhd), TAR_END]);

const images = [
  ['a VHD', vhd, false],
  ['a tar', tar, false],
  ['a gzip', gzipSync(tar), false],
  ['a damaged VHD', damaged, true],
  ['a damaged gzip', Buffer.concat([gzipSync(damaged)]), true],
  ['a damaged tar', Buffer.concat([tarHeader({ size: 9_000_000 }), vhd]), true],
  ['no image', noise(1 << 20, 1), true],
] as const;

describe('a stream passed by the caller is closed when the call ends:', () => {
  const calls = [
    ['info', (input: Chunks) => info(input)],
    ['info --quick', (input: Chunks) => info(input, { quick: true })],
    ['writeDisk', (input: Chunks) => writeDisk(input, 'null:')],
  ] as const;
  const cases = calls.flatMap(([name, call]) => images.map(([what, bytes]) => ({ name, what, call, bytes })));

  test.each(cases)('$name of $what, from a generator', async ({ call, bytes }) => {
    let closed = 0;
    async function* source(): Chunks {
      try {
        yield* reusing(bytes, [10_000]);
      } finally {
        closed++;
      }
    }
    await call(source()).catch((error: unknown) => expect(error).toBeInstanceOf(VdiStreamError));
    await vi.waitFor(() => expect(closed).toBe(1));
  });

  test.each(cases)('$name of $what, from a stream of Node', async ({ call, bytes }) => {
    const stream = Readable.from(cut(bytes, [10_000])); // which reads ahead, so that each chunk needs memory of its own
    await call(stream).catch((error: unknown) => expect(error).toBeInstanceOf(VdiStreamError));
    await vi.waitFor(() => expect(stream.destroyed).toBe(true));
  });
});

describe('a stalled stream does not delay what needs none of its bytes:', () => {
  /** Yields `bytes`, and then stalls without ending. */
  async function* stalled(bytes: Uint8Array): Chunks {
    yield bytes; // immediately, so that anything that reads ahead is waiting already
    await new Promise(() => {});
  }
  const wraps = [
    ['a VHD', vhd.subarray(0, 60_000)],
    ['a tar', tar.subarray(0, 60_000)],
    ['a gzip', gzipSync(tar).subarray(0, 60_000)],
  ] as const;

  test.each(wraps)('a quick look at %s', async (_, bytes) => {
    expect((await info(stalled(bytes), { quick: true })).virtualSize).toBe(655_360);
  });

  test.each(wraps)('a refusal of the target for %s', async (_, bytes) => {
    expect((await failure(writeDisk(stalled(bytes), testFolder()))).code).toBe('TARGET_TYPE');
  });

  test.each(wraps)('a refusal of %s itself', async (_, bytes) => {
    expect((await failure(writeDisk(stalled(bytes), 'null:', { disk: 'other.vhd', signal: AbortSignal.abort() }))).code).toBe('CANCELLED');
  });

  test.each(wraps)('a signal while %s is written', async (_, bytes) => {
    const controller = new AbortController();
    async function* source(): Chunks {
      yield bytes;
      controller.abort();
      await new Promise(() => {});
    }
    expect((await failure(writeDisk(source(), 'null:', { signal: controller.signal }))).code).toBe('CANCELLED');
  });

  testWith('xz')('a quick look at an xz', async () => {
    // Nothing in front of the end can be decoded of a small xz, so a large one, most of which is there.
    const packed = execFileSync('xz', ['-0', '-c'], { input: Buffer.concat([tar, noise(4 << 20, 1)]), maxBuffer: 1 << 28 });
    expect((await info(stalled(packed.subarray(0, 3 << 20)), { quick: true })).virtualSize).toBe(655_360);
  });
});

describe('the decompression program', () => {
  const calls = [
    ['info', (input: Chunks) => info(input)],
    ['info --quick', (input: Chunks) => info(input, { quick: true })],
    ['writeDisk', (input: Chunks) => writeDisk(input, 'null:')],
  ] as const;
  const running = (): string[] =>
    execFileSync('ps', ['--ppid', String(process.pid), '-o', 'stat=,comm='], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.endsWith(' xz') && !line.startsWith('Z'));

  // Much more data after the disk than pipes hold, so that the program cannot exit on its own.
  const much = Buffer.concat([tar.subarray(0, -1024), tarMember({ name: 'more' }, noise(4 << 20, 1)), TAR_END]);
  const bad = Buffer.concat([damaged, noise(4 << 20, 1)]);
  const cases = calls.flatMap(([name, call]) => [
    { name, what: 'an image', call, bytes: much },
    { name, what: 'a damaged image', call, bytes: bad },
  ]);
  testWith('xz').each(cases)('has exited when $name of $what ends', async ({ call, bytes }) => {
    const packed = execFileSync('xz', ['-0', '-c'], { input: bytes, maxBuffer: 1 << 28 });
    await call(reusing(packed, [65_536])).catch((error: unknown) => expect(error).toBeInstanceOf(VdiStreamError));
    await vi.waitFor(() => expect(running()).toEqual([]), { timeout: 5000 });
  });
});

describe('a file that a call created', () => {
  test.each(images.filter(([, , fails]) => fails))('is removed when writing %s fails', async (_, bytes) => {
    const target = join(testFolder(), 'disk.raw');
    await failure(writeDisk(reusing(bytes, [10_000]), target));
    expect(existsSync(target)).toBe(false);
  });

  test('is removed when it cannot be grown to the size of the disk', async () => {
    // Larger than ext4 allows, and than any file system without that much space allows; where one does allow it, the file stays.
    const size = 2 ** 50;
    const blockSize = 256 << 20;
    const entries = size / blockSize;
    const footer = makeFooter({ size, type: 3 });
    const target = join(testFolder(), 'disk.raw');
    const image = [footer, makeHeader({ entries, blockSize }), new Uint8Array(entries * 4).fill(0xff), footer];
    const written = await writeDisk(streamOf(image), target).then(
      () => true,
      (error: unknown) => {
        expect(error).toMatchObject({ code: 'TARGET_WRITE' });
        return false;
      },
    );
    expect(existsSync(target)).toBe(written);
  });
});

describe('a buffer', () => {
  /** A disk of four extents whose bytes are ready when the test says so. */
  function slowDisk(): {
    extents: (buffers: Buffers) => AsyncGenerator<Extent, void, void>;
    size: number;
    ready: PromiseWithResolvers[];
    held: () => number[];
    released: () => number[];
  } {
    const ready = [0, 1, 2, 3].map(() => withResolvers());
    const held = new Set<number>();
    const released: number[] = [];
    async function* extents(buffers: Buffers): AsyncGenerator<Extent, void, void> {
      for (const [index, { promise }] of ready.entries()) {
        const lease = await buffers.acquire();
        held.add(index);
        yield {
          kind: 'data',
          offset: index * 4096,
          length: 4096,
          bytes: lease.bytes.subarray(0, 4096).fill(1),
          ready: promise,
          release() {
            held.delete(index);
            released.push(index);
            lease.release();
          },
        };
      }
    }
    return { extents, size: 4 * 4096, ready, held: () => [...held], released: () => released };
  }

  test('that is still being filled is not reused, even after a write has failed meanwhile', async () => {
    // The decoder waits for a fourth buffer, gets the one of the failed write, and begins to fill it.
    const pool = createPool({ count: 3, size: 4096 });
    const { extents, size, ready, held, released } = slowDisk();
    const pumping = failure(pump(extents(pool), memoryTarget({ size, failAt: 0 }), { size }));
    ready[0]?.resolve();
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(pool.free, 'free buffers').toBe(3 - held().length);
    expect(held(), 'extents that are being filled').toEqual(expect.arrayContaining([1, 2]));
    expect(released(), 'extents that were released, of which only the first has been filled').toEqual([0]);
    for (const { resolve } of ready) resolve();
    expect((await pumping).code).toBe('TARGET_WRITE');
    await vi.waitFor(() => expect(pool.free).toBe(3));
  });

  test('whose read fails causes no unhandled rejection, whether or not the extent was used', async () => {
    const unhandled: unknown[] = [];
    const listener = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', listener);
    const pool = createPool({ count: 3, size: 4096 });
    const { extents, size, ready } = slowDisk();
    const pumping = failure(pump(extents(pool), memoryTarget({ size, failAt: 0 }), { size }));
    ready[0]?.resolve();
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    for (const { reject } of ready) reject(new VdiStreamError('SOURCE_READ', 'the disk broke'));
    expect((await pumping).code).toBe('TARGET_WRITE');
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', listener);
    expect(unhandled).toEqual([]);
  });

  test('is not ready before its own read has ended, even if reading its bitmap has failed', async () => {
    // A block in two pieces: the first brings the bitmap and fails, the second is still being read.
    const image = dynamicVhd({ size: 65_536, blockSize: 65_536, blocks: new Map([[0, noise(65_536, 1)]]) });
    const reads: PromiseWithResolvers[] = [];
    let position = 0;
    const bytesFrom = (at: number, count: number): Uint8Array => Uint8Array.from(image.subarray(at, at + count));
    const cursor: Cursor = {
      seekable: true,
      length: image.length,
      get position() {
        return position;
      },
      peek: async (count) => bytesFrom(position, count),
      async read(count) {
        position += count;
        return bytesFrom(position - count, count);
      },
      async moveTo(target) {
        position = target;
      },
      // Only blocks are read so.
      fill(...into) {
        position += into.reduce((sum, { length }) => sum + length, 0);
        const read = withResolvers();
        reads.push(read);
        return read.promise;
      },
      async *chunks() {},
    };
    const disk = await decodeVhd(cursor);
    const settled: string[] = [];
    const iterator = disk.extents(plainBuffers(32_768, 4))[Symbol.asyncIterator]();
    for (const name of ['first', 'second']) {
      const next = await iterator.next();
      if (!next.done && next.value.kind === 'data')
        next.value.ready.then(
          () => settled.push(name),
          () => settled.push(name),
        );
    }
    expect(reads.length).toBe(2);
    reads[0]?.reject(new VdiStreamError('SOURCE_READ', 'the disk broke'));
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(settled).toEqual(['first']);
    reads[1]?.resolve();
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(settled).toEqual(['first', 'second']);
  });
});

test('a pool has all its buffers back after a call has failed, and the next call can use it', async () => {
  const pool = createPool({ count: 2, size: 65_536 });
  const folder = testFolder();
  const path = join(folder, 'image');
  for (const [, bytes, fails] of images) {
    for (const [way, input] of [
      ['stream', () => reusing(bytes, [10_000])],
      ['file', () => path],
    ] as const) {
      writeFileSync(path, bytes);
      const outcome = await writeDisk(input(), join(folder, 'disk.raw'), { pool, force: ['content'] }).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(outcome instanceof VdiStreamError, way).toBe(fails);
      expect(pool.free).toBe(2);
    }
  }
  await writeDisk(reusing(fixedVhd(noise(4096, 1))), 'null:', { pool }).catch((error: unknown) => {
    expect(error).toMatchObject({ code: 'DISK_SIZE_UNKNOWN' });
  });
  expect((await writeDisk(reusing(vhd), 'null:', { pool })).virtualSize).toBe(655_360);
  expect(pool.free).toBe(2);
});
