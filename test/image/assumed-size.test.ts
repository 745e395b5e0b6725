/** A compressed chain that begins with a parent is read once: the leaf is assumed to have its size, where nothing is lost if it has not. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { dryRunWrite, type TargetOpener, verifyDisk, writeDisk } from '../../src/index.ts';
import { type Chain, chainOf, chainTar, permutations, sampleChain, stored } from '../support/chains.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { httpServer } from '../support/http-server.ts';
import { memoryTarget } from '../support/memory-target.ts';
import { createStack } from '../support/vhd-model.ts';

/** Three layers of one size. */
function evenChain(): Chain {
  const stack = createStack({ kind: 'dynamic', size: 4096, blockSize: 64 << 10 });
  stack.write(0, 3000);
  stack.snapshot();
  stack.write(500, 700);
  stack.writeZeros(2000, 90);
  stack.snapshot();
  stack.write(900, 40);
  stack.writeZeros(2040, 900);
  return chainOf(stack);
}

const even = evenChain();
/** The leaf is larger than its parents. */
const grown = sampleChain();
/** The leaf is smaller. */
const shrunk = ((): Chain => {
  const stack = createStack({ kind: 'dynamic', size: 900, blockSize: 64 << 10 });
  stack.write(0, 900);
  stack.snapshot();
  stack.write(10, 9);
  stack.snapshot();
  stack.resize(700);
  stack.write(699, 1);
  return chainOf(stack);
})();

const gzipped = ({ vhds }: Chain, order: readonly number[]): Buffer => gzipSync(chainTar(vhds, order));
const archive = (chain: Chain, order: readonly number[]): { readonly path: string; readonly bytes: number } => {
  const packed = gzipped(chain, order);
  return { path: stored(testFolder(), 'chain.tar.gz', packed), bytes: packed.length };
};

const orders = permutations(3).map((order) => [order]);
const late = orders.filter(([order]) => order?.[0] !== 0);
const BASE_FIRST = [2, 1, 0];

/** A target that exists: what it is opened with is in `sizes`. */
function existing(content: Buffer): { readonly opener: TargetOpener; readonly sizes: number[]; bytes(): Buffer } {
  const target = memoryTarget({ size: content.length, rewrites: true });
  const sizes: number[] = [];
  const opener: TargetOpener = {
    name: 'memory',
    async open({ size }) {
      sizes.push(size);
      return target;
    },
  };
  return { opener, sizes, bytes: () => target.content().subarray(0, content.length) };
}

describe('to a new file', () => {
  test.each(orders)('a compressed file is read once, order %j', async (order) => {
    const { path, bytes } = archive(even, order);
    const target = join(testFolder(), 'disk');
    const result = await writeDisk(path, target, { verify: true, strict: true });
    expect(readFileSync(target).equals(even.content)).toBe(true);
    expect(result).toMatchObject({ bytesRead: bytes, layers: 3, member: '0.vhd', virtualSize: even.content.length, warnings: [] });
    expect(result.bytesWritten + result.bytesZeroed + result.bytesSkipped).toBe(even.content.length);
  });

  test.each(permutations(3).flatMap((order) => [[order, 'larger', grown] as const, [order, 'smaller', shrunk] as const]))(
    'order %j is written from its start again if the leaf is %s',
    async (order, _, chain) => {
      const { path } = archive(chain, order);
      const folder = testFolder();
      const target = join(folder, 'disk');
      const { virtualSize, ...result } = await writeDisk(path, target, { verify: true });
      expect(readFileSync(target).equals(chain.content)).toBe(true);
      expect(virtualSize).toBe(chain.content.length);
      expect(result.bytesWritten + result.bytesZeroed + result.bytesSkipped).toBe(virtualSize);
      expect(readdirSync(folder)).toEqual(['disk']);
      await verifyDisk(path, target);
    },
  );

  test('a warning is reported once, although the archive is read again', async () => {
    const { vhds } = grown;
    const tar = chainTar(vhds, BASE_FIRST);
    const path = stored(testFolder(), 'chain.tar.gz', gzipSync(tar.subarray(0, tar.length - 1024)));
    const heard: string[] = [];
    const { warnings } = await writeDisk(path, join(testFolder(), 'disk'), { onWarning: ({ code }) => heard.push(code) });
    expect(warnings.map(({ code }) => code)).toEqual(heard);
    expect(new Set(heard).size).toBe(heard.length);
  });

  test.each(late)('a damaged archive is refused, and no file is left, order %j', async (order) => {
    const packed = gzipped(even, order);
    for (const length of [packed.length >> 1, packed.length - 4]) {
      const path = stored(testFolder(), 'chain.tar.gz', packed.subarray(0, length));
      const folder = testFolder();
      expect(await failure(writeDisk(path, join(folder, 'disk')))).toMatchObject({ code: 'COMPRESSION_TRUNCATED' });
      expect(readdirSync(folder)).toEqual([]);
    }
  });
});

describe('to a target that exists', () => {
  test.each(late)('the size is found before it is opened, order %j', async (order) => {
    for (const chain of [even, grown, shrunk]) {
      const { opener, sizes, bytes } = existing(chain.content);
      await writeDisk(archive(chain, order).path, opener);
      expect(sizes).toEqual([chain.content.length]);
      expect(bytes().equals(chain.content)).toBe(true);
    }
  });

  test.each(late)('a size that is given is used, and the file is read once, order %j', async (order) => {
    const { path, bytes } = archive(grown, order);
    const { opener, sizes, bytes: written } = existing(grown.content);
    const { bytesRead } = await writeDisk(path, opener, { virtualSize: grown.content.length });
    expect({ sizes, bytesRead }).toEqual({ sizes: [grown.content.length], bytesRead: bytes });
    expect(written().equals(grown.content)).toBe(true);
  });

  test('a file ends where the disk ends, and a given size that is wrong is an error', async () => {
    const folder = testFolder();
    const target = join(folder, 'disk');
    writeFileSync(target, Buffer.alloc(1 << 20));
    await writeDisk(archive(shrunk, BASE_FIRST).path, target);
    expect(readFileSync(target).equals(shrunk.content)).toBe(true);
    const wrong = { virtualSize: shrunk.content.length + 512, force: ['content'] as const };
    expect(await failure(writeDisk(archive(shrunk, BASE_FIRST).path, target, wrong))).toMatchObject({ code: 'CHAIN_SIZE' });
  });
});

test('a dry run reports the size of the leaf', async () => {
  const { virtualSize, member, layers } = await dryRunWrite(archive(grown, BASE_FIRST).path, join(testFolder(), 'disk'));
  expect({ virtualSize, member, layers }).toEqual({ virtualSize: grown.content.length, member: '0.vhd', layers: undefined });
});

describe('from a server', () => {
  test.each(late)('it is fetched once to a new file, order %j', async (order) => {
    const server = await httpServer({ image: gzipped(even, order) });
    const target = join(testFolder(), 'disk');
    const { warnings } = await writeDisk(server.url(), target, { verify: true });
    expect(readFileSync(target).equals(even.content)).toBe(true);
    expect({ warnings, requests: server.requests.length }).toEqual({ warnings: [], requests: 1 });
  });
});
