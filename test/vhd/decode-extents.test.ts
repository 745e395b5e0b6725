import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { streamCursor } from '../../src/cursor.ts';
import type { Disk, DiskEnd } from '../../src/disk/disk.ts';
import { decodeVhd } from '../../src/vhd/decode.ts';
import type { Warning } from '../../src/warnings.ts';
import { plainBuffers } from '../support/buffers.ts';
import { chunkSizes, noise, reusing, streamOf } from '../support/chunks.ts';
import { type DiskPlan, diskPlans, makeDisk, readDisk } from '../support/disk.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd, fixedVhd, makeFooter, makeHeader } from '../support/make-vhd.mjs';
import { flipped } from '../support/vhd-damage.ts';
import { fromFile, stream, waysOf } from '../support/vhd-decoding.ts';

describe('the extents of a dynamic disk', () => {
  test('cover it exactly and hold its bytes, for any layout, chunking and way of reading', async () => {
    const folder = testFolder();
    await fc.assert(
      fc.asyncProperty(
        diskPlans,
        chunkSizes,
        fc.constantFrom(4096, 8192, 65536),
        fc.integer({ min: 0, max: 5 }),
        async (plan, sizes, size, ahead) => {
          const { vhd, content } = makeDisk(plan);
          const warnings: Warning[] = [];
          const read = async (decoding: Promise<Disk>): Promise<void> => {
            const disk = await decoding;
            expect(disk).toMatchObject({
              type: 'dynamic',
              virtualSize: plan.size,
              blockSize: plan.blockSize,
              identity: { creator: 'test' },
            });
            expect(Buffer.compare(await readDisk(disk, plainBuffers(size, ahead + 1), ahead), content)).toBe(0);
          };
          await waysOf(vhd, sizes, folder, read, (warning) => warnings.push(warning));
          expect(warnings).toEqual([]);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('are also correct for the usual 2 MiB blocks, each in its own buffer', async () => {
    const plan: DiskPlan = {
      blockSize: 2 << 20,
      size: (5 << 20) + 1536,
      order: [2, 0],
      bitmaps: 'random',
      gap: 7,
      spare: 1000,
      short: true,
      shortFooter: false,
      seed: 3,
    };
    const { vhd, content } = makeDisk(plan);
    await waysOf(vhd, [65536], testFolder(), async (decoding) => {
      const read = await readDisk(await decoding, plainBuffers(2 << 20, 3), 2);
      expect(Buffer.compare(read, content)).toBe(0);
    });
  });

  test('of a block larger than a buffer arrive in pieces, each with the correct bits', async () => {
    const plan: DiskPlan = {
      blockSize: 1 << 18,
      size: 3 << 18,
      order: [1, 2],
      bitmaps: 'random',
      gap: 0,
      spare: 0,
      short: false,
      shortFooter: false,
      seed: 11,
    };
    const { vhd, content } = makeDisk(plan);
    await waysOf(vhd, [777, 70000], testFolder(), async (decoding) => {
      expect(Buffer.compare(await readDisk(await decoding, plainBuffers(12288, 9), 8), content)).toBe(0);
    });
  });

  test('skip what is not allocated: each run of absent blocks is one hole', async () => {
    const vhd = dynamicVhd({ size: 64 << 10, blockSize: 4096, blocks: new Map([[9, noise(4096, 1)]]) });
    const found: unknown[] = [];
    for await (const extent of (await decodeVhd(stream(vhd))).extents(plainBuffers())) {
      found.push([extent.kind, extent.offset, extent.length]);
      if (extent.kind === 'data') extent.release();
    }
    expect(found).toEqual([
      ['hole', 0, 36864],
      ['data', 36864, 4096],
      ['hole', 40960, 24576],
    ]);
  });

  test('are announced: the allocated ranges, ascending and merged, up to the end of the disk', async () => {
    await fc.assert(
      fc.asyncProperty(diskPlans, async (plan) => {
        const disk = await decodeVhd(stream(makeDisk(plan).vhd));
        const allocated = new Uint8Array(plan.size);
        for (const block of plan.order) allocated.fill(1, block * plan.blockSize, (block + 1) * plan.blockSize);
        const announced = new Uint8Array(plan.size);
        let last = -1;
        for (const { offset, length } of disk.allocated()) {
          expect(offset).toBeGreaterThan(last);
          expect(length).toBeGreaterThan(0);
          expect(offset + length).toBeLessThanOrEqual(plan.size);
          announced.fill(1, offset, offset + length);
          last = offset + length;
        }
        expect(Buffer.compare(announced, allocated)).toBe(0);
        expect(disk.allocatedBytes).toBe(allocated.reduce((sum, bit) => sum + bit, 0));
      }),
    );
  });

  test('can be skipped, with the same checks at the end', async () => {
    const { vhd } = makeDisk({
      blockSize: 4096,
      size: 40960,
      order: [3, 1],
      bitmaps: 'full',
      gap: 1,
      spare: 5,
      short: false,
      shortFooter: false,
      seed: 1,
    });
    const other = Buffer.concat([vhd.subarray(0, -512), makeFooter({ size: 40960 + 512, type: 3 })]);
    await waysOf(vhd, [1000], testFolder(), async (decoding) => void (await (await decoding).skip()));
    for (const length of [undefined, other.length]) {
      const error = await failure((await decodeVhd(stream(other, length))).skip());
      expect(error).toMatchObject({ code: 'VHD_FOOTERS_DIFFER', offset: other.length - 512 + 48 });
    }
  });

  test('end with an error where the stream ends, and then hold no buffer', async () => {
    const { vhd } = makeDisk({
      blockSize: 8192,
      size: 81920,
      order: [7, 0, 4],
      bitmaps: 'random',
      gap: 2,
      spare: 0,
      short: false,
      shortFooter: false,
      seed: 5,
    });
    const lastBlockEnds = vhd.length - 512;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 512, max: lastBlockEnds - 1 }), chunkSizes, async (end, sizes) => {
        const buffers = plainBuffers(4096, 2);
        const error = await failure(decodeVhd(streamCursor(reusing(vhd.subarray(0, end), sizes))).then((disk) => readDisk(disk, buffers)));
        expect(error).toMatchObject({ code: 'SOURCE_TRUNCATED', offset: end });
        expect(buffers.held).toBe(0);
      }),
    );
  });
});

describe('the extents of a fixed disk', () => {
  test('cover it exactly and hold its bytes, with a footer of 512 or 511 bytes', async () => {
    const folder = testFolder();
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 300 }),
        fc.nat(),
        fc.boolean(),
        chunkSizes,
        fc.integer({ min: 0, max: 4 }),
        async (sectors, seed, short, sizes, ahead) => {
          const content = noise(sectors * 512, seed);
          const vhd = short ? fixedVhd(content).subarray(0, -1) : fixedVhd(content);
          async function same(decoding: Promise<Disk>): Promise<void> {
            const disk = await decoding;
            expect(disk).toMatchObject({ type: 'fixed', virtualSize: content.length, allocatedBytes: content.length });
            const ends: DiskEnd[] = [];
            const watched: Disk = {
              ...disk,
              async *extents(buffers, options) {
                const end = yield* disk.extents(buffers, options);
                ends.push(end);
                return end;
              },
            };
            expect(Buffer.compare(await readDisk(watched, plainBuffers(8192, ahead + 1), ahead), content)).toBe(0);
            expect(ends).toMatchObject([{ identity: { creator: 'test' }, virtualSize: content.length }]);
          }
          await same(decodeVhd(streamCursor(reusing(vhd, sizes), vhd.length)));
          await fromFile(vhd, folder, same);
        },
      ),
    );
  });

  test('may begin with the bytes of a footer if the end can be read first', async () => {
    const content = Buffer.concat([makeFooter({ size: 1 << 20, type: 3 }), noise(8192, 4)]);
    await fromFile(fixedVhd(content), testFolder(), async (decoding) => {
      expect(Buffer.compare(await readDisk(await decoding), content)).toBe(0);
    });
  });

  test('cannot be read from a stream of unknown length', async () => {
    expect(await failure(decodeVhd(stream(fixedVhd(noise(4096, 1)))))).toMatchObject({ code: 'DISK_SIZE_UNKNOWN' });
  });

  test.each([
    ['a raw disk without a footer', noise(5120, 1), 'VHD_FOOTER', 4608],
    ['a footer with another size', Buffer.concat([noise(8192, 1), makeFooter({ size: 4096, type: 2 })]), 'VHD_SIZE', 8192 + 48],
    ['a footer of a dynamic disk', Buffer.concat([noise(8192, 1), makeFooter({ size: 8192, type: 3 })]), 'VHD_TYPE', 8192 + 60],
    ['a footer with a wrong checksum', flipped(fixedVhd(noise(8192, 1)), 8192 + 100), 'VHD_FOOTER_CHECKSUM', 8192 + 64],
  ])('are followed by an error in a stream with %s', async (_, vhd, code, offset) => {
    const buffers = plainBuffers();
    const disk = await decodeVhd(stream(vhd, vhd.length));
    expect(await failure(readDisk(disk, buffers))).toMatchObject({ code, offset });
    expect(buffers.held).toBe(0);
  });
});

test('an empty disk of petabytes is one hole that is read immediately, since only its table needs memory', async () => {
  const size = 2 ** 50;
  const blockSize = 256 << 20;
  const entries = size / blockSize;
  const footer = makeFooter({ size, type: 3 });
  const table = new Uint8Array(entries * 4).fill(0xff);
  const disk = await decodeVhd(streamCursor(streamOf([footer, makeHeader({ entries, blockSize }), table, footer])));
  const found: unknown[] = [];
  for await (const extent of disk.extents(plainBuffers())) found.push(extent);
  expect(found).toEqual([{ kind: 'hole', offset: 0, length: size }]);
});
