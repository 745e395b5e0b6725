/** Small extents, such as those of tiny blocks in any order: written together, with few calls, and to the byte. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPool, type Extent, emptySums, pump } from '../../src/blocks.ts';
import { type DiskInput, verifyDisk, type WriteOptions, type WriteResult, writeDisk, type ZeroPolicy } from '../../src/index.ts';
import { noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { type MemoryTarget, type MemoryTargetOptions, memoryTarget } from '../support/memory-target.ts';
import { tarOf } from '../support/tar.ts';
import { chainVhds, createStack, type Form, SECTOR, shuffle } from '../support/vhd-model.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

interface Written {
  readonly target: MemoryTarget;
  readonly result: WriteResult;
  /** Bytes that `write` got in all. */
  readonly moved: number;
}

async function written(input: DiskInput, made: MemoryTargetOptions, options: WriteOptions): Promise<Written> {
  const target = memoryTarget(made);
  const result = await writeDisk(input, { name: 'memory', open: async () => target }, options);
  const moved = target.calls.reduce((sum, call) => sum + Number(/^write \d+\+(\d+)/.exec(call)?.[1] ?? 0), 0);
  return { target, result, moved };
}

function saved(name: string, bytes: Uint8Array): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

const SOURCES = ['file', 'pipe'] as const;
const inputOf = (source: (typeof SOURCES)[number], bytes: Uint8Array, name = 'image'): DiskInput =>
  source === 'file' ? saved(name, bytes) : reusing(bytes, [5000, 70_000]);

describe.each(SOURCES)('from a %s', (source) => {
  const size = 2 * MIB;
  const content = Buffer.from(noise(size, 5));
  const blocksOf = (blockSize: number): Map<number, Buffer> =>
    new Map(Array.from({ length: size / blockSize }, (_, block) => [block, content.subarray(block * blockSize, (block + 1) * blockSize)]));

  test.each([512, 1024, 4 * KIB])('blocks of %s bytes in random order are written with one call for each span', async (blockSize) => {
    const blocks = blocksOf(blockSize);
    const image = dynamicVhd({ size, blockSize, blocks, order: shuffle([...blocks.keys()], 3) });
    const pool = createPool({ count: 8, size: MIB });
    const { target, result, moved } = await written(inputOf(source, image), { size, readsZero: true }, { pool });
    expect(target.content().equals(content)).toBe(true);
    expect(target.calls.length).toBe(size / (256 * KIB));
    expect(moved).toBe(size);
    expect(result).toMatchObject({ bytesWritten: size, bytesZeroed: 0, bytesSkipped: 0 });
    expect(pool.free).toBe(pool.count);
  });

  test('a pool too small for the whole disk costs at most a few writes of it', async () => {
    const blocks = blocksOf(512);
    const image = dynamicVhd({ size, blockSize: 512, blocks, order: shuffle([...blocks.keys()], 3) });
    const { target, moved } = await written(inputOf(source, image), { size }, { pool: createPool({ count: 6, size: 256 * KIB }) });
    expect(target.content().equals(content)).toBe(true);
    expect(target.calls.length).toBeLessThan(250);
    expect(moved).toBeLessThan(6 * size);
  });

  test('a chain whose bitmaps alternate, sector by sector, is not written sector by sector', async () => {
    const stack = createStack({ kind: 'dynamic', size: size / SECTOR, blockSize: 256 * KIB });
    stack.write(0, stack.size);
    stack.snapshot();
    for (let sector = 0; sector < stack.size; sector += 2) stack.write(sector, 1);
    const [leaf = Buffer.alloc(0), base = Buffer.alloc(0)] = chainVhds(stack.layers);
    const image = tarOf([
      ['0.vhd', leaf],
      ['1.vhd', base],
    ]);
    const { target, result, moved } = await written(inputOf(source, image), { size }, { pool: createPool({ size: MIB }) });
    expect(target.content().equals(stack.content())).toBe(true);
    expect(target.calls.length).toBeLessThan(64);
    expect(moved).toBeLessThan(3 * size);
    expect(result.bytesWritten + result.bytesZeroed).toBe(size);
  });

  test('holes of one sector between sectors of data are zeroed together', async () => {
    const stack = createStack({ kind: 'dynamic', size: size / SECTOR, blockSize: 512 });
    for (let sector = 0; sector < stack.size; sector += 2) stack.write(sector, 1);
    const [image = Buffer.alloc(0)] = chainVhds(stack.layers);
    const { target, result } = await written(inputOf(source, image), { size }, { pool: createPool({ size: MIB }) });
    expect(target.content().equals(stack.content())).toBe(true);
    expect(target.calls.length).toBeLessThan(16);
    expect(result).toMatchObject({ bytesWritten: size / 2, bytesZeroed: size / 2 });
  });
});

describe('for any chain of any block sizes, in any order', () => {
  const range = fc.record({
    kind: fc.constantFrom('write', 'writeZeros'),
    at: fc.nat(),
    step: fc.nat(4),
    length: fc.integer({ min: 1, max: 90 }),
  });
  const scenarios = fc.record({
    size: fc.integer({ min: 20, max: 700 }),
    layers: fc.array(
      fc.record({ blockSize: fc.constantFrom(512, 1024, 4096, 32 * KIB, 64 * KIB), ranges: fc.array(range, { maxLength: 12 }) }),
      {
        minLength: 1,
        maxLength: 3,
      },
    ),
    form: fc.record({ seed: fc.nat(1000), shuffled: fc.boolean(), garbage: fc.boolean(), gap: fc.nat(9) }),
    order: fc.nat(5),
    source: fc.constantFrom(...SOURCES),
    align: fc.constantFrom(512, 4096),
    zero: fc.constantFrom<ZeroPolicy>('auto', 'write'),
    readsZero: fc.boolean(),
    verify: fc.boolean(),
    flipped: fc.nat(),
    pool: fc.record({ count: fc.integer({ min: 2, max: 6 }), size: fc.constantFrom(4 * KIB, 16 * KIB, 64 * KIB) }),
  });

  test('the target equals a plain model, nothing after the disk changes, and each byte is counted once', async () => {
    await fc.assert(
      fc.asyncProperty(scenarios, async ({ size, layers, form, order, source, align, zero, readsZero, verify, flipped, pool: shape }) => {
        const [{ blockSize } = { blockSize: 512 }] = layers;
        const stack = createStack({ kind: 'dynamic', size, blockSize });
        for (const [index, layer] of layers.entries()) {
          if (index > 0) stack.snapshot(layer.blockSize);
          for (const { kind, at, step, length } of layer.ranges) {
            const put = kind === 'write' ? stack.write : stack.writeZeros;
            // Every sector, or every other one, and so on.
            if (step === 0) put(at % size, length);
            else for (let sector = at % size; sector < Math.min(size, (at % size) + length); sector += step + 1) put(sector, 1);
          }
        }
        const forms: Form[] = [form];
        const vhds = chainVhds(stack.layers, forms);
        const image = tarOf(
          shuffle(
            vhds.map((vhd, rank) => [`${rank}.vhd`, vhd] as const),
            order,
          ),
        );
        const pool = createPool(shape);
        const room = size * SECTOR + 8 * KIB;
        const { target, result } = await written(
          inputOf(source, image),
          { size: room, align, readsZero, rewrites: true },
          { pool, zero, verify, virtualSize: size * SECTOR },
        );
        const held = target.content();
        expect(held.subarray(0, size * SECTOR).equals(stack.content())).toBe(true);
        expect(held.subarray(size * SECTOR).every((byte) => byte === (readsZero ? 0 : 0xa5))).toBe(true);
        expect(result.bytesWritten + result.bytesZeroed + result.bytesSkipped).toBe(size * SECTOR);
        expect(pool.free).toBe(pool.count);
        if (!verify) return;
        // What was written is what `verify` expects, and any byte that changes is found.
        const compared = memoryTarget({ size: room, align, rewrites: true });
        const opener = { name: 'compared', open: async () => ({ ...compared, close: async () => {} }) };
        await compared.write(held, 0);
        await verifyDisk(inputOf(source, image), opener, { pool, virtualSize: size * SECTOR });
        const byte = flipped % (size * SECTOR);
        compared.flip(byte);
        const { code, offset = -1 } = await failure(verifyDisk(inputOf(source, image), opener, { pool, virtualSize: size * SECTOR }));
        expect([code, Math.floor(offset / SECTOR)]).toEqual(['VERIFY_MISMATCH', Math.floor(byte / SECTOR)]);
        expect(pool.free).toBe(pool.count);
      }),
      { numRuns: 200 },
    );
  });
});

describe('when something fails', () => {
  const size = MIB;
  const blocks = new Map(Array.from({ length: size / 512 }, (_, block) => [block, Buffer.alloc(512, block)]));
  const image = dynamicVhd({ size, blockSize: 512, blocks, order: shuffle([...blocks.keys()], 3) });

  test('the error of the device is thrown, and every buffer is released', async () => {
    const pool = createPool({ size: 64 * KIB });
    const target = memoryTarget({ size, failAt: 3 });
    const error = await failure(writeDisk(saved('failing', image), { name: 'memory', open: async () => target }, { pool }));
    expect(error).toMatchObject({ code: 'TARGET_WRITE' });
    expect(pool.free).toBe(pool.count);
  });

  test('an image that is cut is an error, and what was gathered is dropped', async () => {
    const pool = createPool({ size: 256 * KIB });
    const target = memoryTarget({ size });
    const cut = reusing(image.subarray(0, image.length - 4000), [3000]);
    const error = await failure(writeDisk(cut, { name: 'memory', open: async () => target }, { pool }));
    expect(error).toMatchObject({ code: 'SOURCE_TRUNCATED' });
    expect(pool.free).toBe(pool.count);
  });

  test('a signal ends it with CANCELLED', async () => {
    const stop = new AbortController();
    const pool = createPool({ size: 64 * KIB });
    const memory = memoryTarget({ size });
    const target: MemoryTarget = {
      ...memory,
      async write(bytes, offset, sums) {
        stop.abort();
        await memory.write(bytes, offset, sums);
      },
    };
    const { signal } = stop;
    const error = await failure(writeDisk(saved('cancelled', image), { name: 'memory', open: async () => target }, { pool, signal }));
    expect(error).toMatchObject({ code: 'CANCELLED' });
    expect(pool.free).toBe(pool.count);
  });
});

describe('several writes that share a pool', () => {
  const size = MIB;
  const blocks = new Map(Array.from({ length: size / 512 }, (_, block) => [block, Buffer.from(noise(512, block))]));
  const order = shuffle([...blocks.keys()], 3);
  const image = dynamicVhd({ size, blockSize: 512, blocks, order });

  test.each([1, 2, 6])('all end, also with %s buffers for five of them', async (count) => {
    const pool = createPool({ count, size: 64 * KIB });
    const all = Array.from({ length: 5 }, (_, index) =>
      written(index % 2 === 0 ? saved('shared', image) : reusing(image, [9000]), { size }, { pool }),
    );
    for (const { target } of await Promise.all(all)) expect(target.content().equals(Buffer.concat([...blocks.values()]))).toBe(true);
    expect(pool.free).toBe(count);
  });

  test('one whose source has stalled leaves half of the buffers to the others', async () => {
    const pool = createPool({ count: 6, size: 64 * KIB });
    const stop = new AbortController();
    let stalled = (): void => {};
    const reached = new Promise<void>((resolve) => {
      stalled = resolve;
    });
    async function* stalling(): AsyncGenerator<Uint8Array> {
      yield image.subarray(0, 900 * KIB);
      stalled();
      await new Promise(() => {});
    }
    const waiting = failure(written(stalling(), { size }, { pool, signal: stop.signal }));
    await reached;
    expect(pool.free).toBeGreaterThanOrEqual(2);
    const { target } = await written(saved('beside', image), { size }, { pool });
    expect(target.content().equals(Buffer.concat([...blocks.values()]))).toBe(true);
    stop.abort();
    expect(await waiting).toMatchObject({ code: 'CANCELLED' });
  });
});

test('data that overwrites what is still gathered is written after it', async () => {
  const pool = createPool({ size: 64 * KIB });
  const target = memoryTarget({ size: 64 * KIB, rewrites: true });
  const sums = emptySums(64 * KIB);
  async function* extents(): AsyncGenerator<Extent, void, void> {
    for (const [offset, length, fill, overwrites] of [
      [0, 4096, 1, false],
      [4096, 64 * KIB - 4096, 2, false],
      [512, 1024, 3, true],
      [1024, 1024, 4, true],
      [0, 32 * KIB, 5, true],
      [512, 512, 6, true],
    ] as const) {
      const lease = await pool.acquire();
      const bytes = lease.bytes.subarray(0, length).fill(fill);
      yield { kind: 'data', offset, length, bytes, overwrites, ready: Promise.resolve(), release: () => lease.release() };
    }
  }
  await pump(extents(), target, { size: 64 * KIB, pool, sums });
  const expected = Buffer.concat([Buffer.alloc(512, 5), Buffer.alloc(512, 6), Buffer.alloc(31 * KIB, 5), Buffer.alloc(32 * KIB, 2)]);
  expect(target.content().equals(expected)).toBe(true);
});

test('sums are those of the bytes of the disk, not of what was read between them', async () => {
  const stack = createStack({ kind: 'dynamic', size: 4096, blockSize: 1024 });
  for (let sector = 0; sector < stack.size; sector += 3) stack.write(sector, 1);
  stack.snapshot(2048);
  for (let sector = 1; sector < stack.size; sector += 5) stack.write(sector, 2);
  const vhds = chainVhds(stack.layers, [{ seed: 3, shuffled: true }]);
  const options = { verify: true, pool: createPool({ size: 32 * KIB }) };
  const { target, result } = await written(
    vhds.map((vhd, rank) => saved(`sums-${rank}`, vhd)),
    { size: 2 * MIB, align: 4096 },
    options,
  );
  expect(result.verified).toBe(true);
  expect(target.content().equals(stack.content())).toBe(true);
});
