import { openSync, readFileSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Range } from '../../src/disk/disk.ts';
import type { Warning } from '../../src/warnings.ts';
import { pair, sampleChain, stored, storedVhds } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicParts, dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { bytesAt, opened, openedDisk, storeSparse } from '../support/readable.ts';
import { programs, runProgram } from '../support/stack-programs.ts';
import { chainVhds, createStack, SECTOR } from '../support/vhd-model.ts';

const MiB = 1 << 20;

const collected = async (ranges: AsyncIterable<Range>): Promise<Range[]> => {
  const all: Range[] = [];
  for await (const range of ranges) all.push(range);
  return all;
};

const isEmpty = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** Ascending ranges with something between them, within the disk, and zeros everywhere else. */
function expectRanges(ranges: readonly Range[], content: Buffer): void {
  let end = 0;
  for (const [index, { offset, length }] of ranges.entries()) {
    expect(length).toBeGreaterThan(0);
    if (index > 0) expect(offset, 'merged').toBeGreaterThan(end);
    expect(isEmpty(content.subarray(end, offset)), `zeros from ${end} to ${offset}`).toBe(true);
    end = offset + length;
  }
  expect(end).toBeLessThanOrEqual(content.length);
  expect(isEmpty(content.subarray(end)), `zeros from ${end} on`).toBe(true);
}

const places = fc.array(fc.record({ at: fc.nat(100_000), sectors: fc.integer({ min: 1, max: 200 }) }), { minLength: 1, maxLength: 12 });

test('any read of a chain, many at a time, returns the sectors that a plain model shows there', async () => {
  const folder = testFolder();
  await fc.assert(
    fc.asyncProperty(programs, places, async (program, reads) => {
      const stack = runProgram(program);
      const content = stack.content();
      const disk = await openedDisk(storedVhds(folder, chainVhds(stack.layers, program.forms)));
      expect(disk.size).toBe(content.length);
      // Past the end of the disk there are zeros.
      const padded = Buffer.concat([content, Buffer.alloc(201 * SECTOR)]);
      const check = async (offset: number, length: number): Promise<void> => {
        const expected = padded.subarray(offset, offset + length);
        expect(Buffer.compare(await bytesAt(disk, offset, length), expected), `${length} bytes at ${offset}`).toBe(0);
      };
      await Promise.all(reads.map(({ at, sectors }) => check((at % stack.size) * SECTOR, sectors * SECTOR)));
      await check(0, content.length);
      expectRanges(await collected(disk.mayHold()), content);
      await disk.close();
    }),
    { numRuns: 120 },
  );
});

describe('blocks of', () => {
  test.each([512, 4096, 65_536, 512 << 10, 2 * MiB, 32 * MiB, 256 * MiB])(
    '%d bytes: a base, and a leaf with blocks of 4 KiB',
    async (blockSize) => {
      const folder = testFolder();
      const size = 2 * blockSize + 5 * SECTOR;
      // Present in the base: the first and the last sector of the second block, and the last of the disk.
      const last = blockSize / SECTOR - 1;
      const bitmap = Buffer.alloc(Math.ceil(blockSize / SECTOR / 8 / SECTOR) * SECTOR);
      for (const sector of [0, last]) bitmap[sector >> 3] = (bitmap[sector >> 3] ?? 0) | (0x80 >> (sector & 7));
      const tail = Buffer.alloc(bitmap.length);
      tail[0] = 0x08;
      const block = Buffer.alloc(blockSize);
      for (const at of [0, blockSize - SECTOR]) block.set(noise(SECTOR, at + 3), at);
      const end = Buffer.alloc(Math.min(blockSize, 8 * SECTOR));
      // Foreign bytes, under clear bits, as far as that block goes.
      end.set(noise(Math.min(end.length, 4 * SECTOR), 8));
      const held = Buffer.alloc(size - blockSize * 2);
      if (blockSize >= 5 * SECTOR) {
        end.set(noise(SECTOR, 9), 4 * SECTOR);
        held.set(noise(SECTOR, 9), 4 * SECTOR);
      }
      const id = noise(16, 1);
      const base = dynamicParts({
        size,
        blockSize,
        id,
        blocks: new Map([[1, block], ...(blockSize >= 5 * SECTOR ? ([[2, end]] as const) : [])]),
        bitmaps: new Map([[1, bitmap], ...(blockSize >= 5 * SECTOR ? ([[2, tail]] as const) : [])]),
        order: blockSize >= 5 * SECTOR ? [2, 1] : [1],
      });
      const where = Math.floor((2 * blockSize) / 4096) - (blockSize < 4096 ? 0 : 1);
      const leafBitmap = Buffer.alloc(SECTOR);
      leafBitmap[0] = 0x10; // its fourth sector
      const leaf = dynamicVhd({
        size,
        blockSize: 4096,
        type: 4,
        parent: { id, timestamp: 0 },
        blocks: new Map([[where, noise(4096, 5)]]),
        bitmaps: new Map([[where, leafBitmap]]),
      });
      const basePath = join(folder, 'base.vhd');
      await storeSparse(basePath, base);
      const disk = await openedDisk([stored(folder, 'leaf.vhd', leaf), basePath]);

      const from = Math.max(0, blockSize - 8192);
      const expected = (start: number, length: number): Buffer => {
        const bytes = Buffer.alloc(length);
        const put = (at: number, data: Uint8Array): void => {
          for (let sector = 0; sector < data.length; sector += SECTOR) {
            const to = at + sector - start;
            if (to >= 0 && to < length) bytes.set(data.subarray(sector, sector + SECTOR), to);
          }
        };
        put(blockSize, block.subarray(0, SECTOR));
        put(2 * blockSize - SECTOR, block.subarray(blockSize - SECTOR));
        put(2 * blockSize, held);
        if (where * 4096 + 3 * SECTOR < size) put(where * 4096 + 3 * SECTOR, noise(4096, 5).subarray(3 * SECTOR, 4 * SECTOR));
        return bytes;
      };
      for (const [start, length] of [
        [from, 16_384],
        [2 * blockSize - SECTOR * 2, SECTOR * 7],
        [Math.max(0, 2 * blockSize - 3 * MiB), 3 * MiB],
      ] as const) {
        expect((await bytesAt(disk, start, length)).equals(expected(start, length)), `${length} bytes at ${start}`).toBe(true);
      }
    },
  );
});

test('a chain with alternating sectors, whose layers take turns, is read in few pieces', async () => {
  const stack = createStack({ kind: 'dynamic', size: 8192, blockSize: 2 * MiB });
  stack.write(0, 8192);
  for (let layer = 0; layer < 3; layer++) {
    stack.snapshot();
    for (let sector = layer; sector < 8192; sector += 5) stack.write(sector, 1);
  }
  const disk = await openedDisk(storedVhds(testFolder(), chainVhds(stack.layers)));
  expect((await bytesAt(disk, 0, 8192 * SECTOR)).equals(stack.content())).toBe(true);
});

describe('the parts that may hold data', () => {
  test('are the blocks of all layers, and end where a layer ends', async () => {
    const stack = createStack({ kind: 'dynamic', size: 64, blockSize: 4096 });
    stack.write(0, 1);
    stack.write(40, 24);
    stack.snapshot();
    stack.resize(48);
    stack.write(9, 1);
    stack.snapshot();
    stack.resize(64);
    stack.write(24, 1);
    const disk = await openedDisk(storedVhds(testFolder(), chainVhds(stack.layers)));
    expect(await collected(disk.mayHold())).toEqual([
      { offset: 0, length: 8192 },
      { offset: 24 * SECTOR, length: 4096 },
      { offset: 40 * SECTOR, length: 4096 },
    ]);
  });

  // Only the addon can ask for holes.
  testWith('addon')('of a fixed VHD are not the holes of its file', async () => {
    const path = join(testFolder(), 'fixed.vhd');
    const data = Buffer.alloc(8 * MiB);
    data.fill(1, 4 * MiB, 4 * MiB + 100);
    await storeSparse(path, [fixedVhd(data)]);
    const disk = await openedDisk([path]);
    const ranges = await collected(disk.mayHold());
    expectRanges(ranges, data);
    expect(ranges.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(4 * MiB);
  });

  test('are no longer looked for after a cancel', async () => {
    const disk = await openedDisk(storedVhds(testFolder(), sampleChain().vhds));
    await expect(collected(disk.mayHold(AbortSignal.abort()))).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

describe('the links of a chain', () => {
  const { vhds, content } = sampleChain();

  test('that leads to a different parent are an error, which the guard lifts with a warning', async () => {
    const folder = testFolder();
    const [leaf = ''] = storedVhds(folder, vhds);
    const other = stored(folder, 'other.vhd', sampleChain({ seed: 5 }).vhds[2] ?? Buffer.alloc(0));
    await expect(opened([leaf, other])).rejects.toMatchObject({ code: 'CHAIN_PARENT', member: leaf, guard: 'parent' });
    const warnings: Warning[] = [];
    const disk = await openedDisk([leaf, other], { anyParent: true, warnings });
    expect(disk.size).toBe(content.length);
    expect(warnings.map(({ code }) => code)).toContain('CHAIN_PARENT');
  });

  test('to a parent that is missing are an error that names the parent', async () => {
    const folder = testFolder();
    const [leaf = '', middle = ''] = storedVhds(folder, vhds);
    const raw = stored(folder, 'disk.raw', Buffer.alloc(MiB));
    await expect(opened([leaf, middle])).rejects.toMatchObject({
      code: 'VHD_DIFFERENCING',
      member: middle,
      message: expect.stringContaining('"C:\\elsewhere\\parent.vhd"'),
      advice: expect.stringContaining('leaf first'),
    });
    await expect(opened([leaf, middle, raw])).rejects.toMatchObject({ code: 'CHAIN_PARENT', member: middle });
  });

  test('from a layer to itself are a loop', async () => {
    const id = noise(16, 4);
    const path = stored(
      testFolder(),
      'loop.vhd',
      dynamicVhd({ size: 4096, blockSize: 4096, blocks: new Map(), type: 4, id, parent: { id, timestamp: 0 } }),
    );
    await expect(opened([path])).rejects.toMatchObject({ code: 'CHAIN_LOOP', member: path });
  });

  test('of more than 64 layers are refused', async () => {
    const [leaf = ''] = storedVhds(testFolder(), vhds);
    await expect(opened(Array.from({ length: 65 }, () => leaf))).rejects.toMatchObject({ code: 'CHAIN_DEEP' });
  });
});

describe('a file that changes while it is read', () => {
  /** A chain, and the path of its base. */
  async function example(): Promise<{
    readonly paths: string[];
    readonly base: string;
    readonly disk: Awaited<ReturnType<typeof openedDisk>>;
  }> {
    const paths = storedVhds(testFolder(), pair().vhds);
    return { paths, base: paths[1] ?? '', disk: await openedDisk(paths) };
  }

  test('has another version, whichever layer it is; without a change it stays', async () => {
    const { base, disk } = await example();
    const before = await disk.version();
    expect(await disk.version()).toBe(before);
    const bytes = readFileSync(base);
    writeSync(openSync(base, 'r+'), bytes.subarray(-600, -590), 0, 10, bytes.length - 600);
    expect(await disk.version()).not.toBe(before);
  });

  test('and has new blocks shows them once its version was asked for', async () => {
    const folder = testFolder();
    const options = { size: 8192, blockSize: 4096, id: 5 };
    const path = stored(folder, 'live.vhd', dynamicVhd({ ...options, blocks: new Map() }));
    const disk = await openedDisk([path]);
    expect(isEmpty(await bytesAt(disk, 0, 8192))).toBe(true);
    writeFileSync(path, dynamicVhd({ ...options, blocks: new Map([[1, noise(4096, 3)]]) }));
    await disk.version();
    expect((await bytesAt(disk, 0, 8192)).subarray(4096).equals(noise(4096, 3))).toBe(true);
  });

  test('into a different VHD is an error', async () => {
    const { base, disk } = await example();
    writeFileSync(base, dynamicVhd({ size: 200 * SECTOR, blockSize: 4096, blocks: new Map(), id: 99 }));
    await expect(disk.version()).rejects.toMatchObject({ code: 'EXPORT_CHANGED', device: base });
    writeFileSync(base, Buffer.alloc(5000));
    await expect(disk.version()).rejects.toMatchObject({ code: 'EXPORT_CHANGED', device: base });
  });

  test('by becoming shorter is an error with the file and the byte', async () => {
    const { base, disk } = await example();
    truncateSync(base, 5000);
    await expect(bytesAt(disk, 0, 200 * SECTOR)).rejects.toMatchObject({
      code: 'SOURCE_TRUNCATED',
      member: base,
      offset: expect.any(Number),
    });
  });
});

test('a missing end footer is a warning with the name of the file', async () => {
  const { vhds, content } = pair();
  const [leaf = '', base = ''] = storedVhds(testFolder(), vhds);
  truncateSync(base, statSync(base).size - 512);
  const warnings: Warning[] = [];
  const disk = await openedDisk([leaf, base], { warnings });
  expect(warnings).toMatchObject([{ code: 'VHD_FOOTER_END', member: base }]);
  expect((await bytesAt(disk, 0, content.length)).equals(content)).toBe(true);
});

test('every file of a chain shares its bytes with the disk', async () => {
  const folder = testFolder();
  const paths = storedVhds(folder, sampleChain().vhds);
  const disk = await openedDisk(paths);
  expect(await Promise.all(paths.map((path) => disk.sharesBytesWith(path)))).toEqual([true, true, true]);
  expect(await disk.sharesBytesWith(stored(folder, 'other', Buffer.alloc(1)))).toBe(false);
});
