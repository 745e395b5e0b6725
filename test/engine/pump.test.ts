import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Counts, createPool, decodeVhd, emptySums, pump, streamCursor, verifySums } from '../../src/blocks.ts';
import { plan } from '../../src/engine/plan.ts';
import { VdiStreamError, type ZeroPolicy } from '../../src/index.ts';
import { dynamicVhd, fixedVhd, type VhdOptions } from '../support/make-vhd.mjs';
import { type MemoryTarget, type MemoryTargetOptions, memoryTarget } from '../support/memory-target.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const pool = createPool({ count: 3, size: 64 * KIB });

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function write(vhd: Buffer, options: MemoryTargetOptions, zero: ZeroPolicy): Promise<{ target: MemoryTarget; counts: Counts }> {
  const target = memoryTarget(options);
  const disk = await decodeVhd(streamCursor(once(vhd), vhd.length));
  const sums = emptySums(disk.virtualSize);
  const { end: _, ...counts } = await pump(disk.extents(pool), target, { size: disk.virtualSize, zero, sums });
  if (zero !== 'assume-zero') await verifySums(target, disk.virtualSize, sums, { pool: createPool({ count: 2 }) });
  return { target, counts };
}

describe('the calls on the target are exact:', () => {
  const two = new Map([
    [1, Buffer.alloc(64 * KIB, 'one')],
    [3, Buffer.alloc(64 * KIB, 'three')],
  ]);
  const vhd = dynamicVhd({ size: 256 * KIB, blockSize: 64 * KIB, blocks: two });

  test('on a target of unknown content each hole is zeroed and each block written, in the order of the disk', async () => {
    const { target, counts } = await write(vhd, { size: 256 * KIB, fill: 0xaa }, 'auto');
    expect(target.calls).toEqual(['zero 0+65536 cheapest', 'write 65536+65536', 'zero 131072+65536 cheapest', 'write 196608+65536']);
    expect(counts).toEqual({ bytesWritten: 131072, bytesZeroed: 131072, bytesSkipped: 0, bytesRewritten: 0 });
  });

  test('on a target that reads zero only the blocks are written', async () => {
    const { target, counts } = await write(vhd, { size: 256 * KIB, readsZero: true }, 'auto');
    expect(target.calls).toEqual(['write 65536+65536', 'write 196608+65536']);
    expect(counts).toEqual({ bytesWritten: 131072, bytesZeroed: 0, bytesSkipped: 131072, bytesRewritten: 0 });
  });

  test('with assume-zero only the blocks are written, also on a target of unknown content', async () => {
    const { target } = await write(vhd, { size: 256 * KIB, fill: 0 }, 'assume-zero');
    expect(target.calls).toEqual(['write 65536+65536', 'write 196608+65536']);
  });

  test('with write the holes are written as zeros, whatever the target is known to hold', async () => {
    const { target } = await write(vhd, { size: 256 * KIB, readsZero: true }, 'write');
    expect(target.calls).toEqual(['zero 0+65536 write', 'write 65536+65536', 'zero 131072+65536 write', 'write 196608+65536']);
  });

  test('blocks in any order in the file are each preceded by their hole, and no hole is zeroed twice', async () => {
    const turned = dynamicVhd({ size: 256 * KIB, blockSize: 64 * KIB, blocks: two, order: [3, 1] });
    const { target } = await write(turned, { size: 256 * KIB, fill: 0xaa }, 'auto');
    expect(target.calls).toEqual(['zero 131072+65536 cheapest', 'write 196608+65536', 'zero 0+65536 cheapest', 'write 65536+65536']);
  });

  test('an all-zero run of 64 KiB inside a block is skipped if that is safe', async () => {
    const data = Buffer.alloc(192 * KIB, 'x');
    data.fill(0, 64 * KIB, 128 * KIB);
    const large = createPool({ count: 2, size: 256 * KIB });
    const target = memoryTarget({ size: 192 * KIB, readsZero: true });
    const image = fixedVhd(data);
    const disk = await decodeVhd(streamCursor(once(image), image.length));
    await pump(disk.extents(large), target, { size: disk.virtualSize });
    expect(target.calls).toEqual(['write 0+65536', 'write 131072+65536']);
  });

  test('a short zero run on a target of unknown content is written with the data around it, in one call', async () => {
    const data = Buffer.alloc(192 * KIB, 'x');
    data.fill(0, 64 * KIB, 128 * KIB);
    const large = createPool({ count: 2, size: 256 * KIB });
    const target = memoryTarget({ size: 192 * KIB, fill: 0xaa });
    const image = fixedVhd(data);
    const disk = await decodeVhd(streamCursor(once(image), image.length));
    await pump(disk.extents(large), target, { size: disk.virtualSize });
    expect(target.calls).toEqual(['write 0+196608']);
    expect(target.content().equals(data)).toBe(true);
  });

  test('a block that is all zero is zeroed, not written', async () => {
    const zeros = dynamicVhd({ size: 64 * KIB, blockSize: 64 * KIB, blocks: new Map([[0, new Uint8Array()]]) });
    const { target } = await write(zeros, { size: 64 * KIB, fill: 0xaa }, 'auto');
    expect(target.calls).toEqual(['zero 0+65536 cheapest']);
  });

  test('on 4096-byte sectors the unaligned end of a disk is merged into its sector, and the rest of that sector is kept', async () => {
    const data = Buffer.alloc(8 * KIB + 512, 'y');
    const { target } = await write(fixedVhd(data), { size: 16 * KIB, align: 4096, fill: 0xaa }, 'auto');
    expect(target.calls).toEqual(['write 0+8192', 'write 8192+4096']);
    expect(target.content().equals(Buffer.concat([data, Buffer.alloc(16 * KIB - data.length, 0xaa)]))).toBe(true);
  });
});

test.each([
  ['data', 'auto', false, 'write'],
  ['data', 'assume-zero', true, 'write'],
  ['hole', 'auto', false, 'zero'],
  ['zero', 'auto', false, 'zero'],
  ['hole', 'auto', true, 'skip'],
  ['hole', 'assume-zero', false, 'skip'],
  ['zero', 'assume-zero', false, 'skip'],
  ['hole', 'write', true, 'write'],
  ['zero', 'write', false, 'write'],
] as const)(
  'a %s extent with the policy %s on a target that reads zero, overwriting: %s, results in: %s',
  (kind, policy, readsZero, action) => {
    expect(plan(kind, policy, readsZero)).toBe(action);
  },
);

describe('for any bitmap, block order, block size, zero policy and sector size', () => {
  const image = fc
    .record({
      blockSize: fc.constantFrom(512, 1024, 4096, 16 * KIB, 256 * KIB),
      blocks: fc.integer({ min: 1, max: 12 }),
      cut: fc.nat(100),
      seed: fc.integer(),
      align: fc.constantFrom(512, 4096),
      fill: fc.constantFrom(0, 0xaa),
      policy: fc.constantFrom<ZeroPolicy>('auto', 'assume-zero', 'write'),
      gap: fc.nat(3),
    })
    .chain((shape) =>
      fc.record({
        shape: fc.constant(shape),
        order: fc.shuffledSubarray(Array.from({ length: shape.blocks }, (_, block) => block)),
        // A handful of patterns: all set, none, and mixtures.
        patterns: fc.array(fc.constantFrom(0xff, 0, 0x80, 0x01, 0x5a), { minLength: 1, maxLength: 7 }),
        contents: fc.array(fc.constantFrom('zero', 'text', 'half'), { minLength: 1, maxLength: 5 }),
      }),
    );

  test('the target equals a plain model, and data after the disk is kept', async () => {
    await fc.assert(
      fc.asyncProperty(image, async ({ shape, order, patterns, contents }) => {
        const { blockSize, align, fill, policy, gap } = shape;
        const size = Math.max(512, shape.blocks * blockSize - Math.floor((shape.cut * blockSize) / 101 / 512) * 512);
        const blocks = new Map<number, Buffer>();
        const bitmaps = new Map<number, Uint8Array>();
        // Where the caller promises zeros, the target has them.
        const before = policy === 'assume-zero' ? 0 : fill;
        const model = Buffer.alloc(size + 8192 - (size % 4096), before);
        model.fill(0, 0, size);
        for (const block of order) {
          const data = Buffer.alloc(blockSize);
          const content = contents[block % contents.length];
          if (content !== 'zero') data.fill(`block ${block} `, content === 'half' ? blockSize / 2 : 0);
          const bitmap = new Uint8Array(Math.ceil(blockSize / 512 / 8)).map((_, at) => patterns[(at + block) % patterns.length] ?? 0);
          blocks.set(block, data);
          bitmaps.set(block, bitmap);
          for (let sector = 0; sector < blockSize / 512; sector++) {
            const at = block * blockSize + sector * 512;
            const set = ((bitmap[sector >> 3] ?? 0) & (0x80 >> (sector & 7))) !== 0;
            if (set && at < size) model.set(data.subarray(sector * 512, sector * 512 + 512), at);
          }
        }
        const options: VhdOptions = { size, blockSize, blocks, bitmaps, order, gap };
        const { target, counts } = await write(
          dynamicVhd(options),
          { size: model.length, align, fill: before, readsZero: before === 0 },
          policy,
        );
        expect(target.content().equals(model)).toBe(true);
        expect(counts.bytesWritten + counts.bytesZeroed + counts.bytesSkipped).toBe(size);
        expect(pool.free).toBe(pool.count);
      }),
      { numRuns: 150 },
    );
  });
});

describe('when something fails', () => {
  const vhd = fixedVhd(Buffer.alloc(2 * MIB, 'data'));

  async function pumpInto(target: MemoryTarget, signal?: AbortSignal): Promise<unknown> {
    const disk = await decodeVhd(streamCursor(once(vhd), vhd.length));
    return pump(disk.extents(pool, { signal }), target, { size: disk.virtualSize, signal }).catch((error: unknown) => error);
  }

  test('the first error of the device is thrown, every buffer is released, and no more calls are made', async () => {
    const target = memoryTarget({ size: 2 * MIB });
    const broken: MemoryTarget = {
      ...target,
      async write(bytes, offset, sums) {
        if (offset >= 128 * KIB) throw new VdiStreamError('TARGET_WRITE', `offset ${offset}`, { offset });
        await target.write(bytes, offset, sums);
      },
    };
    expect(await pumpInto(broken)).toMatchObject({ code: 'TARGET_WRITE', offset: 128 * KIB });
    expect(pool.free).toBe(pool.count);
    expect(target.calls.length).toBeLessThanOrEqual(2);
  });

  test('a signal stops it with CANCELLED, and every buffer is released', async () => {
    const stop = new AbortController();
    const target = memoryTarget({ size: 2 * MIB });
    const slow: MemoryTarget = {
      ...target,
      async write(bytes, offset, sums) {
        if (offset === 256 * KIB) stop.abort();
        await target.write(bytes, offset, sums);
      },
    };
    expect(await pumpInto(slow, stop.signal)).toMatchObject({ code: 'CANCELLED' });
    expect(pool.free).toBe(pool.count);
  });

  test('a write that fails ends the wait for a source that has stalled', async () => {
    const target = memoryTarget({ size: 2 * MIB });
    const broken: MemoryTarget = { ...target, write: () => Promise.reject(new VdiStreamError('TARGET_WRITE', 'broken')) };
    async function* stalling(): AsyncGenerator<Uint8Array> {
      yield vhd.subarray(0, 512 * KIB);
      await new Promise(() => {});
    }
    const disk = await decodeVhd(streamCursor(stalling(), vhd.length));
    const large = createPool({ count: 64, size: 64 * KIB });
    await expect(pump(disk.extents(large), broken, { size: disk.virtualSize })).rejects.toMatchObject({ code: 'TARGET_WRITE' });
  });
});

describe('on a target smaller than the disk, with the size guard lifted,', () => {
  const image = (data: Buffer): Buffer => fixedVhd(data);

  test('a disk that is empty beyond the end fits', async () => {
    const data = Buffer.alloc(256 * KIB);
    data.fill('d', 0, 64 * KIB);
    const { target, counts } = await write(image(data), { size: 128 * KIB, fill: 0xaa }, 'assume-zero');
    expect(
      target
        .content()
        .subarray(0, 64 * KIB)
        .equals(data.subarray(0, 64 * KIB)),
    ).toBe(true);
    expect(counts.bytesWritten + counts.bytesZeroed + counts.bytesSkipped).toBe(256 * KIB);
  });

  test('data beyond the end is an error that reports its first byte', async () => {
    const data = Buffer.alloc(256 * KIB);
    data[200 * KIB] = 1;
    await expect(write(image(data), { size: 128 * KIB }, 'auto')).rejects.toMatchObject({ code: 'TARGET_FULL', offset: 200 * KIB });
  });
});
