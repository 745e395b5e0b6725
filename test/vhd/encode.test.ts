import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { streamCursor } from '../../src/cursor.ts';
import type { Disk } from '../../src/disk/disk.ts';
import { native } from '../../src/host/native.ts';
import { decodeVhd } from '../../src/vhd/decode.ts';
import { encodeRaw, encodeVhd } from '../../src/vhd/encode.ts';
import { plainBuffers } from '../support/buffers.ts';
import { collect } from '../support/chunks.ts';
import { readDisk } from '../support/disk.ts';
import {
  contentOf,
  diskOfRuns,
  type EncodingPlan,
  encodingPlans,
  hasSector,
  mappedBlocks,
  type Run,
  rangesOf,
  readDynamic,
} from '../support/encoding.ts';
import { failure } from '../support/failure.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';

const SECTOR = 512;
const identity = { creator: 'win ', uniqueId: '0123456789abcdef0123456789abcdef', timestamp: 800_000_000 };

const diskOf = (plan: EncodingPlan): Disk => diskOfRuns(plan.size, plan.runs, rangesOf(mappedBlocks(plan), plan));

async function encoded(plan: EncodingPlan, type: 'fixed' | 'dynamic' = 'dynamic', buffers = plainBuffers()): Promise<Buffer> {
  const { blockSize, align, size } = plan;
  const vhd = encodeVhd(diskOf(plan), { type, blockSize, align, identity, scan: size % 1024 === 0 ? native() : undefined });
  const bytes = await collect(vhd.bytes(buffers));
  await Promise.resolve();
  expect(buffers.held, 'buffers still held').toBe(0);
  expect(bytes.length).toBe(vhd.length);
  return bytes;
}

const data = (offset: number, length: number, seed = 5): Run => ({ kind: 'data', offset, length, seed });
const zero = (offset: number, length: number): Run => ({ kind: 'zero', offset, length, seed: 0 });

const MiB = 2 ** 20;
/** A disk in pieces of 64 KiB: a full block, a block with a single sector, an empty one, a short one. */
const EXAMPLE: EncodingPlan = {
  size: 14_848,
  blockSize: 4096,
  align: 512,
  runs: [data(0, 4096), zero(4096, 512), data(4608, 512), zero(5120, 7168), data(12_288, 2560)],
  idle: [],
};

describe('a dynamic VHD', () => {
  test('is what the specification makes of the blocks, byte for byte, apart from the footer and the header', async () => {
    const plans = encodingPlans({ min: 12, max: 16 }, 65_536).map((plan) => ({ ...plan, align: 512 as const }));
    await fc.assert(
      fc.asyncProperty(plans, async (plan) => {
        const content = contentOf(plan.size, plan.runs);
        const blocks = new Map(
          mappedBlocks(plan).map((block) => [block, content.subarray(block * plan.blockSize, (block + 1) * plan.blockSize)]),
        );
        const bitmaps = new Map([...blocks].map(([block, bytes]) => [block, bitmapOf(bytes)]));
        const expected = dynamicVhd({ size: plan.size, blockSize: plan.blockSize, blocks, bitmaps });
        const found = await encoded(plan);
        expect(found.length).toBe(expected.length);
        expect(Buffer.compare(found.subarray(1536, -512), expected.subarray(1536, -512))).toBe(0);
        expect(found.subarray(0, 512)).toEqual(found.subarray(-512));
      }),
      { numRuns: 60 },
    );
  });

  test('holds the disk, in blocks of any size and with either alignment, and bitmaps are true to the zero sectors', async () => {
    await fc.assert(
      fc.asyncProperty(encodingPlans({ min: 12, max: 21 }, 65_536), async (plan) => {
        const vhd = readDynamic(await encoded(plan));
        expect(vhd).toMatchObject({ size: plan.size, blockSize: plan.blockSize, entries: Math.ceil(plan.size / plan.blockSize) });
        expect([...vhd.blocks.keys()]).toEqual(mappedBlocks(plan));
        expect(Buffer.compare(vhd.content, contentOf(plan.size, plan.runs))).toBe(0);
        expect(vhd.tableOffset).toBe(plan.align === 512 ? 1536 : 4096);
        let end = -1;
        for (const { bitmapAt, bitmap, data: bytes } of vhd.blocks.values()) {
          expect(bitmapAt).toBeGreaterThan(end);
          expect((bitmapAt + SECTOR) % plan.align).toBe(0);
          end = bitmapAt + bytes.length;
          for (let at = 0; at < bytes.length; at += SECTOR) {
            const isPresent = bytes.subarray(at, at + SECTOR).some((byte) => byte !== 0);
            // Of a block of zeros the first sector is present, so that it is not taken for one that was never written.
            expect(hasSector(bitmap, at / SECTOR)).toBe(isPresent || (at === 0 && bytes.every((byte) => byte === 0)));
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  test('is read by the decoder as the same disk', async () => {
    await fc.assert(
      fc.asyncProperty(
        encodingPlans({ min: 12, max: 17 }, 65_536),
        fc.constantFrom('fixed' as const, 'dynamic' as const),
        async (plan, type) => {
          const bytes = await encoded(plan, type);
          const disk = await decodeVhd(streamCursor(streamOf(bytes), bytes.length));
          expect(disk).toMatchObject({ type, virtualSize: plan.size });
          expect(Buffer.compare(await readDisk(disk), contentOf(plan.size, plan.runs))).toBe(0);
        },
      ),
      { numRuns: 40 },
    );
  });

  test('has the footer and the header of the specification', async () => {
    const vhd = await encoded(EXAMPLE);
    const fields = (bytes: Buffer, ...at: [number, number][]): string[] =>
      at.map(([start, length]) => bytes.toString('hex', start, start + length));
    expect(vhd.toString('latin1', 0, 8)).toBe('conectix');
    expect(fields(vhd, [8, 8], [16, 8], [24, 4])).toEqual(['0000000200010000', '0000000000000200', '2faf0800']);
    expect(vhd.toString('latin1', 28, 32)).toBe('win ');
    expect(fields(vhd, [40, 8], [48, 8], [60, 4], [68, 16])).toEqual([
      '0000000000003a00',
      '0000000000003a00',
      '00000003',
      identity.uniqueId,
    ]);
    expect(vhd.subarray(84, 512).every((byte) => byte === 0)).toBe(true);
    expect(vhd.readUInt32BE(64)).toBe(sumOf(vhd.subarray(0, 512), 64));
    expect(vhd.toString('latin1', 512, 520)).toBe('cxsparse');
    expect(fields(vhd, [520, 8], [528, 8], [536, 4], [540, 4], [544, 4])).toEqual([
      'ffffffffffffffff',
      '0000000000000600',
      '00010000',
      '00000004',
      '00001000',
    ]);
    expect(vhd.readUInt32BE(548)).toBe(sumOf(vhd.subarray(512, 1536), 36));
    expect(vhd.subarray(552, 1536).every((byte) => byte === 0)).toBe(true);
    expect(vhd.toString('hex', 1536, 1552)).toBe('000000040000000dffffffff00000016');
    expect(vhd.subarray(1552, 2048).every((byte) => byte === 0xff)).toBe(true);
  });

  test('has no blocks if the disk is empty', async () => {
    const vhd = await encoded({ ...EXAMPLE, runs: [zero(0, 14_848)] });
    expect(vhd.length).toBe(2560);
    expect(vhd.subarray(1536, 2048).every((byte) => byte === 0xff)).toBe(true);
  });

  test('has no empty chunk, which a chunked HTTP body would end with', async () => {
    for (const type of ['dynamic', 'fixed'] as const) {
      for (const align of [512, 4096] as const) {
        const vhd = encodeVhd(diskOf(EXAMPLE), { type, blockSize: 4096, align, identity });
        for await (const chunk of vhd.bytes(plainBuffers())) expect(chunk.length).toBeGreaterThan(0);
      }
    }
  });

  test('keeps a block that has become zero since the map was made', async () => {
    const { blocks } = readDynamic(await encoded({ ...EXAMPLE, idle: [2] }));
    expect(blocks.get(2)?.bitmap).toEqual(Buffer.concat([Buffer.of(0x80), Buffer.alloc(511)]));
    expect(blocks.get(2)?.data).toEqual(Buffer.alloc(4096));
  });

  test.each([undefined, native()])('is refused if a block that was zero has data, with scanner %#', async (scan) => {
    const disk = diskOfRuns(EXAMPLE.size, EXAMPLE.runs, [
      { offset: 0, length: 4096 },
      { offset: 12_288, length: 512 },
    ]);
    const vhd = encodeVhd(disk, { type: 'dynamic', blockSize: 4096, identity, scan });
    const buffers = plainBuffers();
    const error = await failure(collect(vhd.bytes(buffers)));
    expect(error).toMatchObject({ code: 'EXPORT_CHANGED', retryable: true });
    expect(error.offset).toBeGreaterThanOrEqual(4608);
    expect(error.offset).toBeLessThan(5120);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(buffers.held).toBe(0);
  });

  test('accepts zeros as data in a block that is not allocated', async () => {
    const vhd = readDynamic(await encoded({ ...EXAMPLE, runs: [data(0, 4096), data(4096, 10_752, 0)] }));
    expect([...vhd.blocks.keys()]).toEqual([0]);
  });

  test('passes on the buffer of a block that comes whole, and holds it only until the next chunk is requested', async () => {
    const buffers = plainBuffers(2 * MiB, 4);
    const leased = new Set<ArrayBufferLike>();
    const watched = {
      size: buffers.size,
      async acquire() {
        const lease = await buffers.acquire();
        leased.add(lease.bytes.buffer);
        return lease;
      },
    };
    const runs = [0, 1, 2, 3, 4, 5].map((block) => data(block * 2 * MiB, 2 * MiB));
    const vhd = encodeVhd(diskOfRuns(12 * MiB, runs, [{ offset: 0, length: 12 * MiB }]), { type: 'dynamic', identity, scan: native() });
    const whole: Uint8Array[] = [];
    for await (const chunk of vhd.bytes(watched)) {
      if (chunk.length === 2 * MiB) whole.push(chunk);
    }
    expect(whole.map(({ buffer }) => leased.has(buffer))).toEqual(runs.map(() => true));
    await Promise.resolve();
    expect(buffers.held).toBe(0);
  });

  test('collects a block from more extents than the pool has buffers', async () => {
    const runs = Array.from({ length: 32 }, (_, index) => data(index * 4096, 4096, index + 1));
    const plan: EncodingPlan = { size: 131_072, blockSize: 131_072, align: 512, runs, idle: [] };
    const vhd = readDynamic(await encoded(plan, 'dynamic', plainBuffers(4096, 1)));
    expect(vhd.content.equals(contentOf(plan.size, runs))).toBe(true);
  });
});

describe('the layout', () => {
  const GiB = 2 ** 30;
  const empty = (size: number): Disk => diskOfRuns(size, [zero(0, size)], []);

  test('of 2040 GiB has a BAT of 1,044,480 entries, and its length is known before the first byte', async () => {
    const size = 2040 * GiB;
    const last = size - 512;
    const at = 1_000_000 * 2 * MiB;
    const runs = [zero(0, at), data(at, 512), zero(at + 512, last - at - 512), data(last, 512, 9)];
    const vhd = encodeVhd(
      diskOfRuns(size, runs, [
        { offset: at, length: 1 },
        { offset: last, length: 512 },
      ]),
      { type: 'dynamic', identity },
    );
    expect(vhd.length).toBe(1536 + 4 * 1_044_480 + 2 * (512 + 2 * MiB) + 512);
    const bytes = await collect(vhd.bytes(plainBuffers()));
    expect(bytes.length).toBe(vhd.length);
    expect(bytes.readUInt32BE(1536 + 4 * 1_000_000)).toBe((1536 + 4 * 1_044_480) / 512);
    expect(bytes.readUInt32BE(1536 + 4 * 1_044_479)).toBe((1536 + 4 * 1_044_480 + 512 + 2 * MiB) / 512);
    expect(bytes.subarray(-1024, -512).some((byte) => byte !== 0)).toBe(true);
  });

  test.each([
    ['2040 GiB and a sector', 2040 * GiB + 512, 2 * MiB],
    ['more blocks than the reader supports', 16 * GiB + 512, 4096],
  ])('refuses %s', async (_, size, blockSize) => {
    expect(await failure(Promise.resolve().then(() => encodeVhd(empty(size), { type: 'dynamic', blockSize, identity })))).toMatchObject({
      code: 'EXPORT_SIZE',
    });
  });

  test('refuses blocks past the reach of a BAT entry', async () => {
    const size = 2040 * GiB;
    const full = diskOfRuns(size, [], [{ offset: 0, length: size }]);
    expect(encodeVhd(full, { type: 'dynamic', align: 4096, identity }).length).toBe(
      4096 + 4 * 1_044_480 + 1_044_480 * (4096 + 2 * MiB) + 512,
    );
    const refused = async (): Promise<unknown> => encodeVhd(full, { type: 'dynamic', blockSize: 512 * 1024, align: 4096, identity });
    expect(await failure(refused())).toMatchObject({ code: 'EXPORT_SIZE' });
  });

  test.each([
    { blockSize: 2048 },
    { blockSize: 4 * MiB },
    { blockSize: 5000 },
    { identity: { ...identity, uniqueId: '0'.repeat(32) } },
    { identity: { ...identity, uniqueId: 'x' } },
    { identity: { ...identity, creator: 'vdistream' } },
    { identity: { ...identity, timestamp: 2 ** 32 } },
  ])('refuses the options %j', async (options) => {
    expect(await failure(Promise.resolve().then(() => encodeVhd(empty(4096), { type: 'dynamic', identity, ...options })))).toMatchObject({
      code: 'USAGE',
    });
  });

  /** Worked out by hand from the appendix of the specification. */
  test.each([
    [512, '00000411'],
    [34_816, '00010411'],
    [64 * MiB, '03c30811'],
    [200 * MiB, '0339101f'],
    [GiB, '0820103f'],
    [127 * GiB, 'fefe10ff'],
    [128 * GiB, 'ffff10ff'],
    [2040 * GiB, 'ffff10ff'],
  ])('of a disk of %i bytes has the geometry %s', async (size, geometry) => {
    const vhd = encodeVhd(empty(size), { type: 'dynamic', identity });
    for await (const chunk of vhd.bytes(plainBuffers())) {
      expect(Buffer.from(chunk).toString('hex', 56, 60)).toBe(geometry);
      break;
    }
  });
});

describe('a fixed VHD and a raw disk', () => {
  test('are the bytes of the disk, the VHD with a footer', async () => {
    await fc.assert(
      fc.asyncProperty(encodingPlans({ min: 12, max: 12 }, 65_536), async (plan) => {
        const content = contentOf(plan.size, plan.runs);
        const raw = encodeRaw(diskOf(plan));
        expect(raw.length).toBe(plan.size);
        expect(Buffer.compare(await collect(raw.bytes(plainBuffers())), content)).toBe(0);
        const vhd = await encoded(plan, 'fixed');
        expect(Buffer.compare(vhd.subarray(0, -512), content)).toBe(0);
        expect(vhd.toString('hex', vhd.length - 496, vhd.length - 488)).toBe('ffffffffffffffff');
        expect(vhd.readUInt32BE(vhd.length - 452)).toBe(2);
      }),
      { numRuns: 20 },
    );
  });
});

describe('encoding', () => {
  test.each(['fixed', 'dynamic'] as const)('of a %s VHD stops when it is cancelled, and when the consumer stops', async (type) => {
    const buffers = plainBuffers(4096, 8);
    const runs = Array.from({ length: 32 }, (_, index) => data(index * 4096, 4096, index + 1));
    const make = () => encodeVhd(diskOfRuns(131_072, runs, [{ offset: 0, length: 131_072 }]), { type, blockSize: 8192, identity });
    const controller = new AbortController();
    const cancelled = async (): Promise<void> => {
      for await (const chunk of make().bytes(buffers, { signal: controller.signal })) if (chunk.length >= 4096) controller.abort();
    };
    expect(await failure(cancelled())).toMatchObject({ code: 'CANCELLED' });
    for await (const chunk of make().bytes(buffers)) if (chunk.length >= 4096) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(buffers.held).toBe(0);
  });

  test.each([
    ['in another order', [data(4096, 4096), data(0, 4096)]],
    ['with a gap', [data(0, 2048), data(4096, 4096)]],
    ['twice', [data(0, 4096), data(0, 4096)]],
  ])('refuses extents %s, and releases the buffers', async (_, runs) => {
    const buffers = plainBuffers(4096, 8);
    const vhd = encodeVhd(diskOfRuns(8192, runs, [{ offset: 0, length: 8192 }]), { type: 'dynamic', identity });
    expect(await failure(collect(vhd.bytes(buffers)))).toMatchObject({ code: 'USAGE' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(buffers.held).toBe(0);
  });

  test('passes on the error of a read, and releases the buffers', async () => {
    const buffers = plainBuffers(4096, 8);
    const disk = diskOfRuns(16_384, [data(0, 4096)], [{ offset: 0, length: 16_384 }]);
    const failing: Disk = {
      ...disk,
      async *extents(pool) {
        const lease = await pool.acquire();
        yield {
          kind: 'data',
          offset: 0,
          length: 4096,
          bytes: lease.bytes,
          ready: Promise.reject(new Error('EIO')),
          release: () => lease.release(),
        };
        return disk.skip();
      },
    };
    await expect(collect(encodeVhd(failing, { type: 'dynamic', identity }).bytes(buffers))).rejects.toThrow('EIO');
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(buffers.held).toBe(0);
  });
});

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function bitmapOf(bytes: Uint8Array): Uint8Array {
  const bitmap = new Uint8Array(SECTOR);
  for (let sector = 0; sector * SECTOR < bytes.length; sector++) {
    const filled = bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR).some((byte) => byte !== 0);
    if (filled) bitmap[sector >> 3] = (bitmap[sector >> 3] ?? 0) + 2 ** (7 - (sector % 8));
  }
  if (bitmap.every((byte) => byte === 0)) bitmap[0] = 0x80;
  return bitmap;
}

function sumOf(bytes: Uint8Array, at: number): number {
  let sum = 0;
  for (const [index, byte] of bytes.entries()) if (index < at || index >= at + 4) sum += byte;
  return 0xffffffff - sum;
}
