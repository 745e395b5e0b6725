/** A dry run of `write`: all that precedes the first write, and nothing else. */

import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from 'vitest';
import { dryRunWrite, type TargetOpener, type TargetOptions } from '../../src/index.ts';
import { chainTar, chunked, sampleChain, storedVhds } from '../support/chains.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { withLoop } from '../support/loop.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { memoryTarget } from '../support/memory-target.ts';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';

const MiB = 2 ** 20;
const SIZE = 8 * MiB;
const vhd = dynamicVhd({ size: SIZE, blocks: new Map([[1, Buffer.alloc(2 * MiB, 'data')]]) });

function stored(name: string, bytes: Uint8Array): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

/** A file of zeros, which is as large as the disk unless said otherwise. */
function zeros(size = SIZE): string {
  const path = stored('disk.raw', Buffer.alloc(0));
  truncateSync(path, size);
  return path;
}

describe('the image', () => {
  test.each([
    ['a VHD', 'image.vhd', vhd, { member: undefined, layers: 1 }],
    ['an OVA', 'image.ova', tarOf([['0.vhd', vhd]]), { member: '0.vhd', layers: 1 }],
    [
      'a compressed tar, which may still have a parent',
      'image.tgz',
      gzipSync(tarOf([['0.vhd', vhd]])),
      { member: '0.vhd', layers: undefined },
    ],
  ])('is described as far as its size: %s', async (_, name, bytes, expected) => {
    for (const input of [stored(name, bytes), chunked(bytes)]) {
      const { layers, ...found } = await dryRunWrite(input, zeros());
      const { layers: known, ...facts } = expected;
      expect(found).toMatchObject({ ...facts, type: 'dynamic', virtualSize: SIZE, allocatedBytes: 2 * MiB, warnings: [] });
      // A stream shows only what has come so far.
      expect(layers).toBe(typeof input === 'string' || found.member === undefined ? known : undefined);
    }
  });

  test('is a chain with all its layers, if they can be looked at', async () => {
    const { vhds, content } = sampleChain({ shuffled: true });
    const files = storedVhds(testFolder(), vhds);
    for (const input of [files, stored('chain.ova', chainTar(vhds, [2, 0, 1]))]) {
      const { layers, virtualSize, type, member } = await dryRunWrite(input, zeros(content.length));
      expect({ layers, virtualSize, type }).toEqual({ layers: 3, virtualSize: content.length, type: 'differencing' });
      expect(member).toBe(typeof input === 'string' ? '0.vhd' : undefined);
    }
  });

  test('is not described by a layer that is not the leaf', async () => {
    const { vhds, content } = sampleChain({ shuffled: true });
    const input = chunked(chainTar(vhds, [2, 1, 0]));
    const found = await dryRunWrite(input, zeros(content.length), { virtualSize: content.length });
    expect(found).toMatchObject({ virtualSize: content.length, member: undefined, type: undefined, layers: undefined });
  });

  test('that is unusual is a warning, and with strict an error', async () => {
    const path = stored('odd.img', Buffer.alloc(1000, 1));
    expect((await dryRunWrite(path, zeros(), { raw: true })).warnings.map(({ code }) => code)).toEqual(['RAW_PADDED']);
    expect(await failure(dryRunWrite(path, zeros(), { raw: true, strict: true }))).toMatchObject({ code: 'STRICT' });
  });
});

describe('the target', () => {
  let image: string;
  beforeEach(() => {
    image = stored('image.vhd', vhd);
  });

  test('is a file: its bytes stay', async () => {
    const path = stored('disk.raw', Buffer.alloc(SIZE + MiB, 0xaa));
    const found = await dryRunWrite(image, path, { force: ['content'] });
    expect(found).toMatchObject({ target: path, kind: 'file', targetSize: SIZE, bytesAfter: 0, zeroTail: false });
    expect(readFileSync(path).equals(Buffer.alloc(SIZE + MiB, 0xaa))).toBe(true);
  });

  test.each([
    [undefined, false, { zero: 'auto', emptyRegions: 'zero' }],
    [undefined, true, { zero: 'auto', emptyRegions: 'skip' }],
    ['assume-zero', false, { zero: 'assume-zero', emptyRegions: 'skip' }],
    ['write', true, { zero: 'write', emptyRegions: 'write' }],
  ] as const)('has empty regions treated by the policy %s, if that it reads zero is %s', async (zero, readsZero, expected) => {
    const found = await dryRunWrite(image, openerOf({ readsZero }).opener, { zero });
    expect(found).toMatchObject({ ...expected, readsZero, kind: undefined, direct: true, align: 4096, targetSize: SIZE, bytesAfter: 0 });
  });

  test('of an opener is opened for a dry run, given up, and not written', async () => {
    const { opener, opened, target } = openerOf({});
    await dryRunWrite(image, opener, { force: ['busy'] });
    expect(opened).toMatchObject([{ size: SIZE, purpose: 'dry-run', force: ['busy'] }]);
    expect(target.calls).toEqual([]);
    await expect(target.write(Buffer.alloc(4096), 0)).rejects.toThrow('after the end');
  });

  test('that discards everything has no size', async () => {
    expect(await dryRunWrite(image, 'null:')).toMatchObject({
      kind: undefined,
      targetSize: undefined,
      bytesAfter: 0,
      emptyRegions: 'skip',
    });
  });

  test('is refused as for a write', async () => {
    expect(await failure(dryRunWrite(image, image))).toMatchObject({ code: 'USAGE', message: expect.stringContaining('is the source') });
    expect(await failure(dryRunWrite(image, 'null:', { verify: true }))).toMatchObject({ code: 'USAGE' });
    expect(await failure(dryRunWrite(image, '/dev/null'))).toMatchObject({ code: 'TARGET_TYPE', exitCode: 3 });
    expect(await failure(dryRunWrite(image, stored('other.vhd', vhd)))).toMatchObject({ code: 'TARGET_VHD', exitCode: 3 });
    expect(await failure(dryRunWrite(image, '/dev/nowhere'))).toMatchObject({ code: 'TARGET_OPEN', exitCode: 1 });
    const huge = { raw: true, virtualSize: 17 * 2 ** 40, verify: true };
    expect(await failure(dryRunWrite(chunked(Buffer.alloc(512)), openerOf({}).opener, huge))).toMatchObject({ code: 'USAGE' });
  });

  testWith('loop')('is a device: what is after the disk is counted, and nothing on it changes', async () => {
    await withLoop({ size: SIZE + 4 * MiB, sector: 4096, fill: 0xaa }, async ({ path, holds, size }) => {
      const found = await dryRunWrite(image, path);
      expect(found).toMatchObject({
        kind: 'device',
        align: 4096,
        readsZero: false,
        bytesAfter: 4 * MiB,
        zeroTail: false,
        emptyRegions: 'zero',
      });
      expect(holds(0xaa, 0, size)).toBe(true);
    });
    await withLoop({ size: MiB }, async ({ path }) => {
      expect(await failure(dryRunWrite(image, path))).toMatchObject({ code: 'TARGET_SMALL', exitCode: 3 });
      expect(await dryRunWrite(image, path, { force: ['size'] })).toMatchObject({ targetSize: MiB, bytesAfter: 0 });
    });
  });
});

test('a cancel is obeyed', async () => {
  const signal = AbortSignal.abort();
  expect(await failure(dryRunWrite(chunked(vhd), zeros(), { signal }))).toMatchObject({ code: 'CANCELLED' });
});

function openerOf(options: { readonly readsZero?: boolean }) {
  const target = memoryTarget({ size: SIZE, align: 4096, ...options });
  const opened: TargetOptions[] = [];
  const opener: TargetOpener = {
    name: 'memory',
    async open(how) {
      opened.push(how);
      return target;
    },
  };
  return { opener, opened, target };
}
