/** What a chain costs next to one VHD with the same disk, counted in bytes that are read and written, not in time. */

import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { type WriteOptions, type WriteResult, writeDisk } from '../../src/index.ts';
import { chainOf, chainTar, permutations, stored, storedVhds } from '../support/chains.ts';
import { testFolder } from '../support/folder.ts';
import { createStack } from '../support/vhd-model.ts';

/** 16 MiB in blocks of 256 KiB, full of data. */
const disk = createStack({ kind: 'dynamic', size: 32_768, blockSize: 256 << 10 });
disk.write(0, disk.size);
const one = chainOf(disk);

/** The same after two snapshots: the guest has written a quarter of it, then a tenth, in stretches of 1 MiB and in runs of 192 KiB. */
disk.snapshot();
for (let at = 0; at < 32_768; at += 8192) disk.write(at + 512, 2048);
disk.snapshot();
for (let at = 0; at < 32_768; at += 4096) disk.write(at + 1700, 384);
const chain = chainOf(disk);

const PARTS = { leaf: 8 * 384, middle: 4 * 2048, base: 32_768 };
const SHARE_OF_ALL = (PARTS.leaf + PARTS.middle + PARTS.base) / PARTS.base;

const write = (input: string | readonly string[], options?: WriteOptions): Promise<WriteResult> =>
  writeDisk(input, join(testFolder(), 'disk'), options);
const moved = ({ bytesWritten, bytesRewritten }: WriteResult): number => bytesWritten + bytesRewritten;

const orders = permutations(3).map((order) => [order] as const);

test.each(orders)('of a plain archive only what is visible is read and written, order %j', async (order) => {
  const alone = await write(stored(testFolder(), 'one.tar', chainTar(one.vhds)));
  const result = await write(stored(testFolder(), 'chain.tar', chainTar(chain.vhds, order)));
  expect(moved(result)).toBe(moved(alone));
  expect(result.bytesRead / alone.bytesRead).toBeLessThan(1.2);
});

test('the same is true of several files', async () => {
  const alone = await write(storedVhds(testFolder(), one.vhds));
  const result = await write(storedVhds(testFolder(), chain.vhds));
  expect(moved(result)).toBe(moved(alone));
  expect(result.bytesRead / alone.bytesRead).toBeLessThan(1.2);
});

test.each(orders)('of a gzipped archive everything is inflated once, and each layer written once, order %j', async (order) => {
  const alone = await write(stored(testFolder(), 'one.tar.gz', gzipSync(chainTar(one.vhds))));
  const packed = gzipSync(chainTar(chain.vhds, order));
  const result = await write(stored(testFolder(), 'chain.tar.gz', packed));
  expect(result.bytesRead).toBe(packed.length);
  expect(moved(result) / moved(alone)).toBeLessThanOrEqual(SHARE_OF_ALL);
});
