import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import type { ReadableDisk } from '../src/disk/readable.ts';
import { openSource } from '../src/engine/open.ts';
import { VdiStreamError } from '../src/errors.ts';
import { openDisks } from '../src/image/disks.ts';
import { decodeVhd } from '../src/vhd/decode.ts';
import { plainBuffers } from '../test/support/buffers.ts';
import { readDisk } from '../test/support/disk.ts';
import { openFilesIn } from '../test/support/open-files.ts';
import { campaign, limit } from './campaign.ts';
import { type Mutation, mutate, vhdMutation } from './mutate.ts';
import { chainLayers, vhdSeeds } from './seeds.ts';

const folder = mkdtempSync(join(tmpdir(), 'vdistream-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Larger disks are read only in part. */
const WHOLE = 4 << 20;

/** Undefined where it is refused with a typed error. */
async function orRefused<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof VdiStreamError)) throw error;
    if (error.offset !== undefined) expect(Number.isInteger(error.offset) && error.offset >= 0).toBe(true);
    return undefined;
  }
}

/** Ascending, within the disk. The first of them, where there are many. */
async function firstRanges(disk: ReadableDisk): Promise<number[]> {
  const starts: number[] = [];
  let end = -1;
  for await (const { offset, length } of disk.mayHold()) {
    expect(offset).toBeGreaterThan(end);
    expect(length).toBeGreaterThan(0);
    end = offset + length;
    expect(end).toBeLessThanOrEqual(disk.size);
    if (starts.length < 20) starts.push(offset);
  }
  return starts;
}

async function readAround(disk: ReadableDisk): Promise<void> {
  const bytes = new Uint8Array(64 * 1024);
  const last = Math.max(0, disk.size - 1024);
  await Promise.all([0, last, ...(await firstRanges(disk))].map((offset) => orRefused(disk.read(bytes, offset))));
}

/** The whole disk in pieces that end inside blocks, several at a time. */
async function wholeDisk(disk: ReadableDisk): Promise<Buffer | undefined> {
  const bytes = Buffer.alloc(Math.ceil(disk.size / 36_864) * 36_864, 0xa5);
  const reads: Array<Promise<true | undefined>> = [];
  for (let at = 0; at < bytes.length; at += 36_864) {
    reads.push(orRefused(disk.read(bytes.subarray(at, at + 36_864), at).then(() => true as const)));
  }
  const outcomes = await Promise.all(reads);
  return outcomes.includes(undefined) ? undefined : bytes.subarray(0, disk.size);
}

async function expectReadable(
  paths: readonly string[],
  decoded?: { readonly size: number; readonly content: Uint8Array | undefined },
): Promise<void> {
  const disks = await orRefused(openDisks(paths, { raw: false, rawBase: false, anyParent: false, onWarning: () => {} }));
  try {
    const [disk] = disks ?? [];
    if (disk === undefined || disks?.length !== 1) return;
    await readAround(disk);
    if (decoded !== undefined) expect(disk.size, 'the size in a stream and at any place').toBe(decoded.size);
    if (disk.size > WHOLE) return;
    const content = await wholeDisk(disk);
    if (content && decoded?.content) expect(Buffer.compare(content, decoded.content), 'read at any place and in order').toBe(0);
  } finally {
    for (const disk of disks ?? []) await disk.close();
    expect(openFilesIn(folder)).toEqual([]);
  }
}

/** What the decoder makes of a VHD file. Undefined if it refuses it, or if it holds no disk of its own. */
async function decodedFile(path: string): Promise<{ size: number; content: Uint8Array | undefined } | undefined> {
  const source = await openSource(path);
  try {
    const disk = await orRefused(decodeVhd(source.cursor));
    if (disk === undefined || disk.type === 'differencing') return undefined;
    const content = disk.virtualSize > WHOLE ? undefined : await orRefused(readDisk(disk, plainBuffers()));
    return { size: disk.virtualSize, content };
  } finally {
    await source.close();
  }
}

const few = fc.array(vhdMutation, { minLength: 1, maxLength: 3 });

test(
  'a changed VHD, read at any place, is what the decoder makes of it, or fails with a typed error',
  async () => {
    const path = join(folder, 'image');
    const inputs = fc.record({ seed: fc.nat(vhdSeeds.length - 1), mutations: few });
    await campaign('readable', 0.3, inputs, async ({ seed, mutations }) => {
      const [vhd, other] = [seed, (seed + 1) % vhdSeeds.length].map((index) => vhdSeeds[index] ?? Buffer.alloc(0));
      writeFileSync(path, mutate(vhd ?? Buffer.alloc(0), mutations, other));
      await expectReadable([path], await decodedFile(path));
    });
  },
  limit(0.3),
);

test(
  'a chain of files with one corrupted layer is read at any place, or fails with a typed error, and every file is closed',
  async () => {
    const paths = chainLayers.map((_, rank) => join(folder, `${rank}.vhd`));
    const inputs: fc.Arbitrary<{ changed: number; mutations: Mutation[] }> = fc.record({
      changed: fc.nat(chainLayers.length - 1),
      mutations: few,
    });
    await campaign('readable chain', 0.3, inputs, async ({ changed, mutations }) => {
      for (const [rank, path] of paths.entries()) {
        const layer = chainLayers[rank] ?? Buffer.alloc(0);
        writeFileSync(path, rank === changed ? mutate(layer, mutations, chainLayers[(rank + 1) % 3]) : layer);
      }
      await expectReadable(paths);
    });
  },
  limit(0.3),
);
