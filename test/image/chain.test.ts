import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { info, verifyDisk, writeDisk, type ZeroPolicy } from '../../src/index.ts';
import { chainOf, chainTar, chunked, pair, permutations, sampleChain, stored, storedVhds, streamed } from '../support/chains.ts';
import { testFolder } from '../support/folder.ts';
import { withLoop } from '../support/loop.ts';
import { dynamicParts } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { createStack, identity, SECTOR } from '../support/vhd-model.ts';

const { vhds, content } = sampleChain();
const virtualSize = content.length;
const BASE_FIRST = [2, 1, 0];

/** A file full of old bytes, longer than the disk. */
function oldFile(folder: string, size = virtualSize): string {
  return stored(folder, 'target', Buffer.alloc(size + 10 * SECTOR, 0xaa));
}

/** The expected content of an old file: the disk, followed by what was there before. */

describe.each([512, 4096] as const)('on a device with %d-byte sectors that is full of old data', (sector) => {
  const size = Math.ceil(virtualSize / 4096) * 4096 + 8192;

  testWith('loop').each(['auto', 'write'] as const)(
    'a chain is written as the disk of the model in every order, from a file or a stream, with the policy %s',
    async (zero) => {
      const folder = testFolder();
      for (const [index, order] of permutations(3).entries()) {
        const tar = chainTar(vhds, order);
        const path = stored(folder, 'chain.tar', index % 2 === 0 ? tar : gzipSync(tar));
        for (const input of [path, chunked(tar, [5000, 700])]) {
          await withLoop({ size, sector, fill: 0xaa }, async (device) => {
            await writeDisk(input, device.path, { zero, virtualSize, verify: true });
            expect(Buffer.compare(device.read(0, virtualSize), content), `order ${order}`).toBe(0);
            expect(device.holds(0xaa, virtualSize, size), 'what follows the disk').toBe(true);
            await verifyDisk(path, device.path);
          });
        }
      }
    },
  );
});

test.each<ZeroPolicy>(['auto', 'write', 'assume-zero'])(
  'zeros in a child overwrite the data of a parent that came first, with the policy %s',
  async (zero) => {
    const stack = createStack({ kind: 'dynamic', size: 4096 * 2 });
    stack.write(0, 8192);
    stack.snapshot();
    stack.writeZeros(0, 4096);
    stack.writeZeros(4096 + 9, 1);
    const chain = chainOf(stack);
    const target = join(testFolder(), 'target');
    await writeDisk(chunked(chainTar(chain.vhds, [1, 0])), target, {
      force: ['content'],
      zero,
      verify: true,
      virtualSize: chain.content.length,
    });
    expect(readFileSync(target).equals(chain.content)).toBe(true);
  },
);

test('a child reads as zero past the end of its parent', async () => {
  const chain = pair(200, 333);
  const folder = testFolder();
  const target = oldFile(folder, chain.content.length);
  await writeDisk(storedVhds(folder, chain.vhds), target, { force: ['content'], verify: true });
  expect(readFileSync(target).equals(chain.content)).toBe(true);
  expect(chain.content.subarray(200 * SECTOR).every((byte) => byte === 0)).toBe(true);
});

test.each(permutations(3).map((order) => [order]))('no deeper layer is visible past the end of a layer, order %j', async (order) => {
  const stack = createStack({ kind: 'fixed', size: 3000, blockSize: 4096 });
  stack.write(0, 3000);
  stack.snapshot();
  stack.resize(1001);
  stack.write(990, 11);
  stack.snapshot();
  stack.resize(3000);
  stack.write(1500, 1);
  const chain = chainOf(stack, [{ seed: 3, garbage: true }]);
  const folder = testFolder();
  const tar = chainTar(chain.vhds, order);
  for (const input of [stored(folder, 'chain.tar', tar), chunked(tar)]) {
    const target = oldFile(folder, chain.content.length);
    await writeDisk(input, target, { force: ['content'], verify: true, virtualSize: chain.content.length });
    expect(readFileSync(target).equals(chain.content)).toBe(true);
  }
});

test('a compressed file is scanned for its leaf, then read from its start, whatever is still being read ahead', async () => {
  const stack = createStack({ kind: 'dynamic', size: 4096 });
  stack.snapshot();
  stack.snapshot();
  stack.write(9, 1);
  // Blocks of noise under clear bits, so that there is much to read.
  const chain = chainOf(stack, [{ seed: 1, garbage: true, idle: 1 }]);
  const folder = testFolder();
  const path = stored(folder, 'chain.tar.gz', gzipSync(chainTar(chain.vhds, [1, 0, 2]), { level: 1 }));
  for (let index = 0; index < 20; index++) {
    const target = join(folder, `disk-${index}`);
    await writeDisk(path, target);
    expect(readFileSync(target).equals(chain.content)).toBe(true);
  }
});

describe('separate VHD files', () => {
  test('form a chain, leaf first, and some may be streams', async () => {
    const folder = testFolder();
    const paths = storedVhds(folder, vhds);
    for (const [index, input] of [paths, paths.map(streamed), [paths[0] ?? '', streamed(paths[1] ?? ''), paths[2] ?? '']].entries()) {
      const target = join(folder, `disk-${index}`);
      await expect(writeDisk(input, target, { force: ['content'], verify: true })).resolves.toMatchObject({ virtualSize, verified: true });
      expect(readFileSync(target).equals(content)).toBe(true);
      await expect(verifyDisk(paths, target)).resolves.toMatchObject({ bytesCompared: virtualSize });
    }
  });

  test('with only one file are an ordinary disk', async () => {
    const folder = testFolder();
    const [path = ''] = storedVhds(folder, vhds.slice(2));
    await writeDisk([path], join(folder, 'a'));
    await writeDisk(path, join(folder, 'b'));
    expect(readFileSync(join(folder, 'a')).equals(readFileSync(join(folder, 'b')))).toBe(true);
  });

  test.each([0, 1, 2])('may not include the target: layer %d of the chain is never overwritten', async (rank) => {
    const folder = testFolder();
    const paths = storedVhds(folder, vhds);
    await expect(writeDisk(paths, paths[rank] ?? '', { force: ['vhd'] })).rejects.toMatchObject({ code: 'USAGE' });
    expect(readFileSync(paths[rank] ?? '').equals(vhds[rank] ?? Buffer.alloc(0))).toBe(true);
  });
});

test.each(permutations(3).map((order) => [order]))('a changed byte is found, order %j', async (order) => {
  const folder = testFolder();
  const path = stored(folder, 'chain.tar', chainTar(vhds, order));
  const target = join(folder, 'disk');
  await writeDisk(path, target);
  for (const offset of [0, 128 * SECTOR, 135 * SECTOR + 511, 700 * SECTOR, virtualSize - 1]) {
    const file = await open(target, 'r+');
    const byte = Buffer.of((content[offset] ?? 0) ^ 1);
    await file.write(byte, 0, 1, offset);
    for (const input of [path, chunked(readFileSync(path))]) {
      await expect(verifyDisk(input, target, { virtualSize })).rejects.toMatchObject({ code: 'VERIFY_MISMATCH', exitCode: 4 });
    }
    await file.write(Buffer.of(content[offset] ?? 0), 0, 1, offset);
    await file.close();
  }
  await verifyDisk(path, target);
});

test('info shows one disk of the size of the leaf, with its layers, leaf first', async () => {
  const folder = testFolder();
  const tar = chainTar(vhds, BASE_FIRST);
  for (const input of [stored(folder, 'chain.tar', tar), stored(folder, 'chain.tar.gz', gzipSync(tar)), chunked(tar)]) {
    const found = await info(input);
    expect(found).toMatchObject({ virtualSize, disks: [{ virtualSize }] });
    expect(found.disks[0]?.layers).toMatchObject([
      { member: '0.vhd', type: 'differencing', virtualSize },
      { member: '1.vhd', type: 'differencing', virtualSize: 653 * SECTOR },
      { member: '2.vhd', type: 'dynamic', virtualSize: 653 * SECTOR },
    ]);
  }
});

describe('a nearly empty chain of 2040 GiB', () => {
  const size = 2040 * 2 ** 30;
  const child = fileURLToPath(new URL('../support/write-once.mjs', import.meta.url));
  const last = size / 2 ** 21 - 1;
  const blocks = (...numbers: number[]): Map<number, Buffer> =>
    new Map(numbers.map((block) => [block, Buffer.alloc(2 << 20, block % 251)]));
  const bitmaps = new Map([[last, Buffer.alloc(512, 0x5a)]]);
  const base = Buffer.concat([...dynamicParts({ size, blocks: blocks(0, 777, last), ...identity(1) })]);
  const leaf = Buffer.concat([...dynamicParts({ size, blocks: blocks(5, last), bitmaps, type: 4, ...identity(2), parent: identity(1) })]);

  test.each([
    ['leaf first', 'a file', [0, 1]],
    ['base first', 'a file', [1, 0]],
    ['base first', 'a stream', [1, 0]],
  ])('needs little memory, %s in %s', async (_order, kind, order) => {
    const folder = testFolder();
    const path = stored(folder, 'chain.tar', chainTar([leaf, base], order));
    const source = join(folder, 'source');
    if (kind === 'a stream') await promisify(execFile)('mkfifo', [source]);
    else writeFileSync(source, readFileSync(path));
    const running = promisify(execFile)(process.execPath, [child, source, 'null:', JSON.stringify({ virtualSize: size })]);
    if (kind === 'a stream') execFile('cp', [path, source]);
    const outcome = JSON.parse((await running).stdout);
    expect(outcome).toMatchObject({ ok: true, virtualSize: size });
    expect(outcome.peakKiB).toBeLessThan(200 * 1024);
  });
});

test('a layer that ends in the middle leaves no file', async () => {
  const folder = testFolder();
  const tar = chainTar(vhds, BASE_FIRST);
  const target = join(folder, 'disk');
  await expect(writeDisk(chunked(tar.subarray(0, tar.length - 4096)), target, { virtualSize })).rejects.toMatchObject({
    code: 'SOURCE_TRUNCATED',
  });
  expect(existsSync(target)).toBe(false);
  expect(readdirSync(folder)).toEqual([]);
});
