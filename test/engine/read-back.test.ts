/** With --verify, what bypasses the page cache is read back while other writes are under way. */

import { describe, expect, test } from 'vitest';
import { type TargetOpener, type WriteOptions, type WriteResult, writeDisk } from '../../src/index.ts';
import { noise, reusing } from '../support/chunks.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { type MemoryTarget, type MemoryTargetOptions, memoryTarget } from '../support/memory-target.ts';
import { tarOf } from '../support/tar.ts';
import { chainVhds, createStack, SECTOR, shuffle } from '../support/vhd-model.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SPAN = 2 * MIB;
const SPANS = 5;
const SIZE = SPANS * SPAN;

interface Watched {
  readonly opener: TargetOpener;
  readonly memory: MemoryTarget;
  /** Reads and syncs, in order. */
  readonly log: readonly string[];
}

interface Moments {
  /** After each write, before it resolves. */
  readonly onWritten?: (memory: MemoryTarget, offset: number, length: number) => void;
  readonly onSync?: (memory: MemoryTarget) => void;
}

function watched(options: MemoryTargetOptions, { onWritten, onSync }: Moments = {}): Watched {
  const memory = memoryTarget({ rewrites: true, ...options });
  const log: string[] = [];
  const opener: TargetOpener = {
    name: 'watched',
    open: async () => ({
      ...memory,
      async write(bytes, offset, sums) {
        await memory.write(bytes, offset, sums);
        onWritten?.(memory, offset, bytes.length);
      },
      read(into, offset, sums) {
        log.push(`read ${offset}+${into.length}`);
        return memory.read(into, offset, sums);
      },
      async sync() {
        log.push('sync');
        onSync?.(memory);
      },
    }),
  };
  return { opener, memory, log };
}

const content = Buffer.from(noise(SIZE, 7));
const FULL = dynamicVhd({ size: SIZE, blocks: new Map(Array.from({ length: SPANS }, (_, block) => [block, blockOf(block)])) });

function blockOf(block: number): Buffer {
  return content.subarray(block * SPAN, (block + 1) * SPAN);
}

const write = (bytes: Uint8Array, { opener }: Watched, options: WriteOptions = {}): Promise<WriteResult> =>
  writeDisk(reusing(bytes, [5000, 70_000]), opener, { ...options, verify: true });

const bytesOf = (log: readonly string[]): number => log.reduce((sum, line) => sum + Number(/\+(\d+)$/.exec(line)?.[1] ?? 0), 0);

const beforeSync = (log: readonly string[]): readonly string[] => log.slice(0, log.indexOf('sync'));
const afterSync = (log: readonly string[]): readonly string[] => log.slice(log.indexOf('sync') + 1);

test('everything that is written is read before the sync, and one span of 32 again after it', async () => {
  const target = watched({ size: SIZE });
  expect(await write(FULL, target)).toMatchObject({ verified: true, bytesWritten: SIZE });
  expect(bytesOf(beforeSync(target.log))).toBe(SIZE);
  expect(afterSync(target.log)).toEqual([`read 0+${SPAN}`]);
  expect(target.memory.content().equals(content)).toBe(true);
});

test('what is left empty is read after the sync', async () => {
  const target = watched({ size: SIZE, readsZero: true });
  const image = dynamicVhd({ size: SIZE, blocks: new Map([[3, blockOf(3)]]) });
  expect(await write(image, target)).toMatchObject({ verified: true });
  expect(beforeSync(target.log)).toEqual([`read ${3 * SPAN}+${SPAN}`]);
  expect(afterSync(target.log)).toEqual([0, 1, 2, 4].map((span) => `read ${span * SPAN}+${SPAN}`));
});

test('through the page cache, nothing is read before it is dropped', async () => {
  const { opener, log, memory } = watched({ size: SIZE });
  const cached: TargetOpener = { ...opener, open: async (options) => ({ ...(await opener.open(options)), direct: false }) };
  expect(await write(FULL, { opener: cached, log, memory })).toMatchObject({ verified: true });
  expect(beforeSync(log)).toEqual([]);
  expect(bytesOf(afterSync(log))).toBe(SIZE);
});

describe('a byte that the target changes is found', () => {
  test.each([0, SPAN + 5, SIZE - 1])('right after the write, at %s', async (at) => {
    const onWritten: Moments['onWritten'] = (memory, offset, length) => {
      if (offset <= at && at < offset + length) memory.flip(at);
    };
    const target = watched({ size: SIZE }, { onWritten });
    const start = Math.floor(at / SPAN) * SPAN;
    await expect(write(FULL, target)).rejects.toMatchObject({ code: 'VERIFY_MISMATCH', offset: start });
  });

  test('by the sync, where a span is read again', async () => {
    const target = watched({ size: SIZE }, { onSync: (memory) => memory.flip(77) });
    await expect(write(FULL, target)).rejects.toMatchObject({ code: 'VERIFY_MISMATCH', offset: 0 });
  });

  test('by the sync, in an empty span', async () => {
    const image = dynamicVhd({ size: SIZE, blocks: new Map([[3, blockOf(3)]]) });
    const target = watched({ size: SIZE, readsZero: true }, { onSync: (memory) => memory.flip(4 * SPAN + 9) });
    await expect(write(image, target)).rejects.toMatchObject({ code: 'VERIFY_MISMATCH', offset: 4 * SPAN });
  });
});

describe('what is written again is read again', () => {
  function baseFirst(): { readonly image: Buffer; readonly disk: Buffer } {
    const stack = createStack({ kind: 'dynamic', size: SIZE / SECTOR, blockSize: SPAN });
    stack.write(0, stack.size);
    stack.snapshot();
    stack.write(2 * (SPAN / SECTOR) + 300, 700);
    stack.writeZeros(4 * (SPAN / SECTOR), 400);
    const [leaf = Buffer.alloc(0), base = Buffer.alloc(0)] = chainVhds(stack.layers);
    const image = tarOf([
      ['1.vhd', base],
      ['0.vhd', leaf],
    ]);
    return { image, disk: stack.content() };
  }

  test('a layer over a base that came first', async () => {
    const { image, disk } = baseFirst();
    const target = watched({ size: SIZE });
    expect(await write(image, target, { virtualSize: SIZE })).toMatchObject({ verified: true, layers: 2 });
    expect(target.memory.content().equals(disk)).toBe(true);
    expect(afterSync(target.log)).toEqual([0, 2, 4].map((span) => `read ${span * SPAN}+${SPAN}`));
  });

  test.each([0, 2 * SPAN + 300 * SECTOR, 4 * SPAN + 1])('and a byte there that differs is found, at %s', async (at) => {
    const { image } = baseFirst();
    const target = watched({ size: SIZE }, { onSync: (memory) => memory.flip(at) });
    const start = Math.floor(at / SPAN) * SPAN;
    await expect(write(image, target, { virtualSize: SIZE })).rejects.toMatchObject({ code: 'VERIFY_MISMATCH', offset: start });
  });

  test.each([512, 4096])('gaps between small blocks, on sectors of %s', async (align) => {
    const blockSize = 512;
    const numbers = Array.from({ length: SPAN / blockSize / 4 }, (_, index) => SPAN / blockSize + index * 3);
    const blocks = new Map(numbers.map((number) => [number, content.subarray(number * blockSize, (number + 1) * blockSize)]));
    const image = dynamicVhd({ size: SIZE, blockSize, blocks, order: shuffle(numbers, 3) });
    const target = watched({ size: SIZE, align, readsZero: true });
    expect(await write(image, target)).toMatchObject({ verified: true });
    expect(bytesOf(afterSync(target.log))).toBe(SIZE);
  });
});
