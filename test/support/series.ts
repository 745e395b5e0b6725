/** Archives of several disks in every form, and what is read of them one after another. */

import { gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { pump } from '../../src/engine/pump.ts';
import { type AllDisksOptions, withSeries } from '../../src/engine/series.ts';
import { createPool, type SourceInput } from '../../src/index.ts';
import { type Chain, chainOf, chunked, stored } from './chains.ts';
import { testFolder } from './folder.ts';
import { imageOpener } from './image-opener.ts';
import { memoryTarget } from './memory-target.ts';
import type { Entry } from './packages.ts';
import { tarOf } from './tar.ts';
import { createStack } from './vhd-model.ts';

/** What a member, or the leaf of a chain, holds as a disk. */
export type DiskContent = readonly [member: string | undefined, content: Uint8Array];

interface Read {
  readonly disks: readonly DiskContent[];
  readonly ignored: readonly string[];
  readonly warnings: readonly string[];
}

const pool = createPool({ count: 4, size: 64 * 1024 });

/** Everything that the disks hold. */
export const readSeries = (input: SourceInput, options: AllDisksOptions = {}): Promise<Read> =>
  withSeries(input, { ...options, pool }, async ({ disks, job }) => {
    const found: DiskContent[] = [];
    let next = await disks.next();
    for (; !next.done; next = await disks.next()) {
      const size = next.value.virtualSize;
      const target = memoryTarget({ size, rewrites: next.value.rewrites });
      const { end } = await pump(next.value.extents(pool), target, { size });
      found.push([end.member, target.content().subarray(0, size)]);
    }
    return { disks: found, ignored: next.value.ignored, warnings: job.warnings.map(({ code }) => code) };
  });

/** The same disks in the same order. */
export function expectSeries({ disks }: Read, expected: readonly DiskContent[]): void {
  expect(disks.map(([member]) => member)).toEqual(expected.map(([member]) => member));
  for (const [index, [member, content]] of disks.entries()) {
    expect({ member, isEqual: Buffer.compare(content, expected[index]?.[1] ?? Buffer.alloc(0)) === 0 }).toEqual({ member, isEqual: true });
  }
}

/** `remote` can be opened again, but is a stream; so is what is in `packed`. */
export const FORMS = {
  file: (entries: readonly Entry[]): SourceInput => stored(testFolder(), 'archive.tar', tarOf(entries)),
  packed: (entries: readonly Entry[]): SourceInput => stored(testFolder(), 'archive.tar.gz', gzipSync(tarOf(entries), { level: 1 })),
  stream: (entries: readonly Entry[]): SourceInput => chunked(tarOf(entries)),
  remote: (entries: readonly Entry[]): SourceInput => imageOpener(tarOf(entries)),
} as const;

export type FormName = keyof typeof FORMS;
export const EVERY_FORM: readonly FormName[] = ['file', 'packed', 'stream', 'remote'];

/** A leaf over a base, another one for each seed. Sizes in sectors. */
export function twoLayers(seed: number, leafSize = 40): Chain {
  const stack = createStack({ kind: 'dynamic', size: 40, blockSize: 4096 });
  stack.write(0, 30);
  stack.snapshot();
  stack.resize(leafSize);
  stack.write(seed % 20, 15);
  return chainOf(stack, [{ seed }]);
}

export const layersOf = ({ vhds: [leaf = Buffer.alloc(0), base = Buffer.alloc(0)] }: Chain): readonly [Buffer, Buffer] => [leaf, base];
