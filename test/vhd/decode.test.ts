import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cursor, streamCursor } from '../../src/cursor.ts';
import type { Disk } from '../../src/disk/extent.ts';
import { openSource } from '../../src/engine/open.ts';
import { decodeVhd } from '../../src/vhd/decode.ts';
import type { OnWarning, Warning } from '../../src/warnings.ts';
import { plainBuffers } from '../support/buffers.ts';
import { chunkSizes, noise, reusing, streamOf } from '../support/chunks.ts';
import { type DiskPlan, diskPlans, makeDisk, readDisk } from '../support/disk.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd, fixedVhd, makeFooter, makeHeader } from '../support/make-vhd.mjs';

const TABLE = 1536;
const entryAt = (block: number): number => TABLE + block * 4;

/** Reads the same VHD from a stream without and with a known length, and from a file. */
async function waysOf(
  vhd: Uint8Array,
  sizes: readonly number[],
  folder: string,
  use: (disk: Promise<Disk>) => Promise<void>,
  warn: OnWarning = () => {},
): Promise<void> {
  await use(decodeVhd(streamCursor(reusing(vhd, sizes)), { onWarning: warn }));
  await use(decodeVhd(streamCursor(reusing(vhd, sizes), vhd.length), { onWarning: warn }));
  await fromFile(vhd, folder, use, warn);
}

async function fromFile(
  vhd: Uint8Array,
  folder: string,
  use: (disk: Promise<Disk>) => Promise<void>,
  warn: OnWarning = () => {},
): Promise<void> {
  const path = join(folder, 'image.vhd');
  writeFileSync(path, vhd);
  const source = await openSource(path);
  try {
    await use(decodeVhd(source.cursor, { onWarning: warn }));
  } finally {
    await source.close();
  }
}

const stream = (vhd: Uint8Array, length?: number): ReturnType<typeof streamCursor> => streamCursor(reusing(vhd), length);

describe('the extents of a dynamic disk', () => {
  test('cover it exactly and hold its bytes, however it is laid out, cut into chunks and read', async () => {
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

  test('are the same for the usual 2 MiB blocks, each a buffer of its own', async () => {
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

  test('of a block larger than a buffer come in pieces, each under the right bits', async () => {
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

  test('go round what is not allocated: whole runs of absent blocks are one hole', async () => {
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

  test('are told in advance: what is allocated, ascending and merged, up to the end of the disk', async () => {
    await fc.assert(
      fc.asyncProperty(diskPlans, async (plan) => {
        const disk = await decodeVhd(stream(makeDisk(plan).vhd));
        const allocated = new Uint8Array(plan.size);
        for (const block of plan.order) allocated.fill(1, block * plan.blockSize, (block + 1) * plan.blockSize);
        const told = new Uint8Array(plan.size);
        let last = -1;
        for (const { offset, length } of disk.allocated()) {
          expect(offset).toBeGreaterThan(last);
          expect(length).toBeGreaterThan(0);
          expect(offset + length).toBeLessThanOrEqual(plan.size);
          told.fill(1, offset, offset + length);
          last = offset + length;
        }
        expect(Buffer.compare(told, allocated)).toBe(0);
        expect(disk.allocatedBytes).toBe(allocated.reduce((sum, bit) => sum + bit, 0));
      }),
    );
  });

  test('can be skipped instead, with the same checks at the end', async () => {
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
    await waysOf(vhd, [1000], testFolder(), async (decoding) => (await decoding).skip());
    for (const length of [undefined, other.length]) {
      const error = await failure((await decodeVhd(stream(other, length))).skip());
      expect(error).toMatchObject({ code: 'VHD_FOOTERS_DIFFER', offset: other.length - 512 + 48 });
    }
  });

  test('end with an error where the stream does, and hold no buffer then', async () => {
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
            expect(Buffer.compare(await readDisk(disk, plainBuffers(8192, ahead + 1), ahead), content)).toBe(0);
            expect(disk.identity.creator).toBe('test');
          }
          await same(decodeVhd(streamCursor(reusing(vhd, sizes), vhd.length)));
          await fromFile(vhd, folder, same);
        },
      ),
    );
  });

  test('may begin with the bytes of a footer where the end can be looked at first', async () => {
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
    ['a footer that says another size', Buffer.concat([noise(8192, 1), makeFooter({ size: 4096, type: 2 })]), 'VHD_SIZE', 8192 + 48],
    ['a footer that says dynamic', Buffer.concat([noise(8192, 1), makeFooter({ size: 8192, type: 3 })]), 'VHD_TYPE', 8192 + 60],
    ['a footer with a wrong checksum', flipped(fixedVhd(noise(8192, 1)), 8192 + 100), 'VHD_FOOTER_CHECKSUM', 8192 + 64],
  ])('are followed in a stream by an error for %s', async (_, vhd, code, offset) => {
    const buffers = plainBuffers();
    const disk = await decodeVhd(stream(vhd, vhd.length));
    expect(await failure(readDisk(disk, buffers))).toMatchObject({ code, offset });
    expect(buffers.held).toBe(0);
  });
});

function flipped(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0x10;
  return copy;
}

/** Three blocks of 4096 bytes on a disk of ten, each 4608 bytes with its bitmap, from byte 2048 on. */
const blocks = new Map([0, 4, 9].map((block) => [block, noise(4096, block)]));
const good = dynamicVhd({ size: 40960, blockSize: 4096, blocks });

/** The VHD with one entry of its table changed. */
function withEntry(block: number, sector: number): Buffer {
  const copy = Buffer.from(good);
  copy.writeUInt32BE(sector, entryAt(block));
  return copy;
}

/** The same with fields of the footer (both copies) or header changed and the checksums made right again. */
function resealed(change: { footer?: (bytes: Buffer) => void; header?: (bytes: Buffer) => void }): Buffer {
  const copy = Buffer.from(good);
  const seal = (bytes: Buffer, at: number): void => {
    bytes.writeUInt32BE(0, at);
    bytes.writeUInt32BE(~bytes.reduce((sum, byte) => sum + byte, 0) >>> 0, at);
  };
  for (const footer of [copy.subarray(0, 512), copy.subarray(-512)]) {
    change.footer?.(footer);
    seal(footer, 64);
  }
  const header = copy.subarray(512, 1536);
  change.header?.(header);
  seal(header, 36);
  return copy;
}

describe('a block that is misplaced is refused before there is any extent', () => {
  test.each([
    ['inside the footer', 0, 'VHD_BLOCK_METADATA'],
    ['inside the header', 2, 'VHD_BLOCK_METADATA'],
    ['inside the block table', 3, 'VHD_BLOCK_METADATA'],
    ['inside another block', 5, 'VHD_BLOCK_OVERLAP'],
    ['on the very bytes of another block', 13, 'VHD_BLOCK_OVERLAP'],
    ['in the last sector of another block', 21, 'VHD_BLOCK_OVERLAP'],
    ['where the end footer stands', (good.length - 512) / 512, 'VHD_BLOCK_RANGE'],
    ['so that its last sector is the end footer', (good.length - 4608) / 512, 'VHD_BLOCK_RANGE'],
    ['beyond the end', good.length / 512 + 1, 'VHD_BLOCK_RANGE'],
    ['beyond 1 TiB, where a signed number would be negative', 0xfffffffe, 'VHD_BLOCK_RANGE'],
  ])('%s', async (_, sector, code) => {
    const vhd = withEntry(9, sector);
    const refused = async (decoding: Promise<Disk>): Promise<void> => {
      const error = await failure(decoding);
      expect(error.code).toBe(code);
      // The entry at fault: of two blocks on the same bytes, either.
      expect([entryAt(9), ...(code === 'VHD_BLOCK_OVERLAP' ? [entryAt(0), entryAt(4)] : [])]).toContain(error.offset);
    };
    await refused(decodeVhd(stream(vhd, vhd.length)));
    await fromFile(vhd, testFolder(), refused);
    if (code !== 'VHD_BLOCK_RANGE') await refused(decodeVhd(stream(vhd)));
  });

  test('beyond the end of a stream of unknown length: there the stream is what ends', async () => {
    const buffers = plainBuffers();
    const disk = await decodeVhd(stream(withEntry(9, 1000)));
    expect(await failure(readDisk(disk, buffers))).toMatchObject({ code: 'SOURCE_TRUNCATED', offset: good.length });
    expect(buffers.held).toBe(0);
  });

  test('but an entry beyond the size of the disk means nothing', async () => {
    const vhd = dynamicVhd({ size: 40960, blockSize: 4096, blocks, tableEntries: 12 });
    vhd.writeUInt32BE(1, entryAt(10));
    vhd.writeUInt32BE(0, entryAt(11));
    await waysOf(vhd, [999], testFolder(), async (decoding) => {
      const read = await readDisk(await decoding);
      for (const [block, data] of blocks) expect(Buffer.compare(read.subarray(block * 4096, (block + 1) * 4096), data)).toBe(0);
    });
  });
});

describe('the footers', () => {
  const end = good.length - 512;
  const withEnd = (footer: Uint8Array): Buffer => Buffer.concat([good.subarray(0, end), footer]);

  test('that tell two sizes are an error; where the end can be looked at first, before there is any extent', async () => {
    const vhd = withEnd(makeFooter({ size: 81920, type: 3 }));
    await fromFile(vhd, testFolder(), async (decoding) => {
      expect(await failure(decoding)).toMatchObject({ code: 'VHD_FOOTERS_DIFFER', offset: end + 48 });
    });
    for (const length of [undefined, vhd.length]) {
      const error = await failure(decodeVhd(stream(vhd, length)).then((disk) => readDisk(disk)));
      expect(error).toMatchObject({ code: 'VHD_FOOTERS_DIFFER', offset: end + 48 });
    }
  });

  test('that tell two types are an error', async () => {
    const vhd = withEnd(makeFooter({ size: 40960, type: 4 }));
    await fromFile(vhd, testFolder(), async (decoding) => {
      expect(await failure(decoding)).toMatchObject({ code: 'VHD_FOOTERS_DIFFER', offset: end + 60 });
    });
  });

  test.each([
    ['damaged', flipped(makeFooter({ size: 40960, type: 3 }), 48)],
    ['poisoned by tapdisk', Buffer.concat([Buffer.from('v_poison'), makeFooter({ size: 40960, type: 3 }).subarray(8)])],
    ['of zeros', new Uint8Array(512)],
    ['of another disk of the same size', makeFooter({ size: 40960, type: 3, id: 8 })],
  ])('need not both be whole: an end footer %s is a warning, and the copy in front counts', async (_, footer) => {
    const vhd = withEnd(footer);
    const read = async (cursor: Cursor): Promise<void> => {
      const warnings: Warning[] = [];
      const disk = await decodeVhd(cursor, { onWarning: (warning) => warnings.push(warning) });
      const bytes = await readDisk(disk);
      for (const [block, data] of blocks) expect(Buffer.compare(bytes.subarray(block * 4096, (block + 1) * 4096), data)).toBe(0);
      expect(warnings).toMatchObject([{ code: 'VHD_FOOTER_END', offset: end }]);
    };
    await read(stream(vhd));
    await read(stream(vhd, vhd.length));
    const path = join(testFolder(), 'image.vhd');
    writeFileSync(path, vhd);
    const source = await openSource(path);
    await read(source.cursor).finally(() => source.close());
  });

  test('that agree give no warning, wherever they stand', async () => {
    for (const padding of [0, 512, 3584, 1 << 20]) {
      const vhd = Buffer.concat([good.subarray(0, end), new Uint8Array(padding), good.subarray(end)]);
      const warnings: Warning[] = [];
      for (const length of [undefined, vhd.length]) {
        const disk = await decodeVhd(stream(vhd, length), { onWarning: (warning) => warnings.push(warning) });
        await readDisk(disk);
      }
      expect(warnings).toEqual([]);
    }
  });

  test('may claim a geometry larger than the disk, or a saved state: that is only said', async () => {
    const vhd = resealed({
      footer: (footer) => {
        footer.writeUInt16BE(65535, 56);
        footer[84] = 1;
      },
    });
    const warnings: Warning[] = [];
    const disk = await decodeVhd(stream(vhd), { onWarning: (warning) => warnings.push(warning) });
    expect(disk.virtualSize).toBe(40960);
    expect(warnings.map(({ code }) => code)).toEqual(['VHD_GEOMETRY', 'VHD_SAVED_STATE']);
  });
});

describe('metadata that cannot be true is refused with its own code and the byte of the field', () => {
  test.each<[string, Uint8Array, string, number]>([
    ['a footer with a wrong checksum', flipped(good, 30), 'VHD_FOOTER_CHECKSUM', 64],
    ['a footer of version 2', resealed({ footer: (f) => f.writeUInt32BE(0x20000, 12) }), 'VHD_VERSION', 12],
    ['a type that is not known', resealed({ footer: (f) => f.writeUInt32BE(5, 60) }), 'VHD_TYPE', 60],
    ['a size of zero', resealed({ footer: (f) => f.writeBigUInt64BE(0n, 48) }), 'VHD_SIZE', 48],
    ['a size of no whole sectors', resealed({ footer: (f) => f.writeBigUInt64BE(40961n, 48) }), 'VHD_SIZE', 48],
    ['a size beyond exact numbers', resealed({ footer: (f) => f.writeBigUInt64BE(2n ** 53n, 48) }), 'VHD_SIZE', 48],
    ['a size of 2^64 - 512', resealed({ footer: (f) => f.writeBigUInt64BE(2n ** 64n - 512n, 48) }), 'VHD_SIZE', 48],
    ['a header inside the footer', resealed({ footer: (f) => f.writeBigUInt64BE(0n, 16) }), 'VHD_HEADER_OFFSET', 16],
    ['a header off the sectors', resealed({ footer: (f) => f.writeBigUInt64BE(513n, 16) }), 'VHD_HEADER_OFFSET', 16],
    ['a header at 2^64 - 1', resealed({ footer: (f) => f.writeBigUInt64BE(2n ** 64n - 1n, 16) }), 'VHD_HEADER_OFFSET', 16],
    ['a header that is none', resealed({ header: (h) => h.write('cxspirce') }), 'VHD_HEADER', 512],
    ['a header with a wrong checksum', flipped(good, 512 + 700), 'VHD_HEADER_CHECKSUM', 512 + 36],
    ['a header of version 3', resealed({ header: (h) => h.writeUInt32BE(0x30000, 24) }), 'VHD_VERSION', 512 + 24],
    ['a block size of zero', resealed({ header: (h) => h.writeUInt32BE(0, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a block size of half a sector', resealed({ header: (h) => h.writeUInt32BE(256, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a block size of 3 MiB', resealed({ header: (h) => h.writeUInt32BE(3 << 20, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a block size of 1 GiB', resealed({ header: (h) => h.writeUInt32BE(1 << 30, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a block size of 2 GiB', resealed({ header: (h) => h.writeUInt32BE(2 ** 31, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a block size of 4 GiB - 1', resealed({ header: (h) => h.writeUInt32BE(2 ** 32 - 1, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a table with an entry too few', resealed({ header: (h) => h.writeUInt32BE(9, 28) }), 'VHD_TABLE', 512 + 28],
    ['a table of no entries', resealed({ header: (h) => h.writeUInt32BE(0, 28) }), 'VHD_TABLE', 512 + 28],
    [
      'more blocks than a real disk has',
      resealed({ footer: (f) => f.writeBigUInt64BE(2n ** 40n, 48), header: (h) => h.writeUInt32BE(0xffffffff, 28) }),
      'VHD_TABLE_LARGE',
      512 + 32,
    ],
    ['a table inside the footer', resealed({ header: (h) => h.writeBigUInt64BE(0n, 16) }), 'VHD_TABLE_OFFSET', 512 + 16],
    ['a table inside the header', resealed({ header: (h) => h.writeBigUInt64BE(1024n, 16) }), 'VHD_TABLE_OFFSET', 512 + 16],
    ['a table off the sectors', resealed({ header: (h) => h.writeBigUInt64BE(1537n, 16) }), 'VHD_TABLE_OFFSET', 512 + 16],
    ['a table at 2^63', resealed({ header: (h) => h.writeBigUInt64BE(2n ** 63n, 16) }), 'VHD_TABLE_OFFSET', 512 + 16],
    ['a table at 2^64 - 1', resealed({ header: (h) => h.writeBigUInt64BE(2n ** 64n - 1n, 16) }), 'VHD_TABLE_OFFSET', 512 + 16],
    // Four thousand million entries are 16 GiB, and every block stands inside those.
    ['a table of ffffffff entries', resealed({ header: (h) => h.writeUInt32BE(0xffffffff, 28) }), 'VHD_BLOCK_METADATA', entryAt(0)],
  ])('%s', async (_, vhd, code, offset) => {
    await waysOf(vhd, [300, 4000], testFolder(), async (decoding) => {
      expect(await failure(decoding)).toMatchObject({ code, offset });
    });
  });

  test('a footer in front that says fixed is refused in a stream, since a fixed disk has none there', async () => {
    const vhd = resealed({ footer: (f) => f.writeUInt32BE(2, 60) });
    for (const length of [undefined, vhd.length]) {
      expect(await failure(decodeVhd(stream(vhd, length)))).toMatchObject({ code: 'VHD_TYPE', offset: 60 });
    }
  });

  test('a fixed disk that is larger than what stands before its footer is cut short', async () => {
    await fromFile(Buffer.concat([noise(4096, 1), makeFooter({ size: 8192, type: 2 })]), testFolder(), async (decoding) => {
      expect(await failure(decoding)).toMatchObject({ code: 'SOURCE_TRUNCATED', offset: 4096 });
    });
  });

  test('a table that would stand behind the blocks can be read from a file, and from a stream it is said why not', async () => {
    // The header behind the table: the table has gone by when it is known.
    const header = makeHeader({ entries: 10, blockSize: 4096, tableOffset: 512 });
    const footer = resealed({ footer: (f) => f.writeBigUInt64BE(1024n, 16) }).subarray(0, 512);
    const vhd = Buffer.concat([footer, Buffer.alloc(512, 0xff), header, footer]);
    expect(await failure(decodeVhd(stream(vhd)))).toMatchObject({ code: 'SOURCE_ORDER', offset: 512 });
    await fromFile(vhd, testFolder(), async (decoding) => {
      expect(Buffer.compare(await readDisk(await decoding), new Uint8Array(40960))).toBe(0);
    });
  });

  test.each([
    ['VHDX', Buffer.concat([Buffer.from('vhdxfile'), noise(2000, 1)])],
    ['qcow', Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), noise(2000, 1)])],
    ['VMDK', Buffer.concat([Buffer.from('KDMV'), noise(2000, 1)])],
    ['a page of a web site', Buffer.from('<!DOCTYPE html>\n<html><title>Please log in</title></html>'.padEnd(2000))],
  ])('another format is named: %s', async (name, bytes) => {
    const error = await failure(decodeVhd(stream(bytes, bytes.length)));
    expect(error.code).toBe('FORMAT_OTHER');
    expect(error.message).toContain(name);
  });

  test('nothing at all, and every piece of a footer, is a typed error too', async () => {
    const footer = makeFooter({ size: 40960, type: 3 });
    for (let length = 0; length < 512; length++) {
      const part = footer.subarray(0, length);
      await failure(decodeVhd(stream(part)));
      await failure(decodeVhd(stream(part, length)).then((disk) => readDisk(disk)));
    }
    await fromFile(new Uint8Array(0), testFolder(), async (decoding) => {
      expect(await failure(decoding)).toMatchObject({ code: 'DISK_EMPTY' });
    });
  });
});

test('a disk of petabytes is a hole in no time, since only its table takes memory', async () => {
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
