/** One mutated image, and what must be true of every call that it is given to. */

import { getEventListeners } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, vi } from 'vitest';
import type { Chunks } from '../src/cursor.ts';
import { openSource } from '../src/engine/open.ts';
import type { ZeroPolicy } from '../src/engine/plan.ts';
import { pump } from '../src/engine/pump.ts';
import { VdiStreamError } from '../src/errors.ts';
import { isLate, leafIsLate, onlyDisk } from '../src/image/chain.ts';
import { check, createPool, info, type Pool, writeDisk } from '../src/index.ts';
import { chainTar } from '../test/support/chains.ts';
import { chunkSizes, reusing } from '../test/support/chunks.ts';
import { memoryTarget } from '../test/support/memory-target.ts';
import { gzipMutation, type Mutation, mutate, tarMutation, vhdMutation } from './mutate.ts';
import { chainLayers, chainSize, type Pack, packs, vhdSeeds, type Wrap, wraps } from './seeds.ts';

export interface Recipe {
  readonly seed: number;
  readonly inVhd: readonly Mutation[];
  readonly wrap: Wrap;
  readonly inTar: readonly Mutation[];
  readonly pack: Pack;
  readonly inPack: readonly Mutation[];
}

export interface Usage {
  readonly sizes: readonly number[];
  readonly align: 512 | 4096;
  readonly zero: ZeroPolicy;
  readonly readsZero: boolean;
  /** The write that fails, if one does. */
  readonly failAt: number | undefined;
  /** The chunk of the stream in place of which it breaks, or at which it is cancelled. */
  readonly breakAt: number | undefined;
  readonly cancelAt: number | undefined;
  /** Also write to a real file, which takes as long as all other ways together. */
  readonly toFile: boolean;
}

const few = (mutation: fc.Arbitrary<Mutation>, min: number): fc.Arbitrary<Mutation[]> =>
  fc.array(mutation, { minLength: min, maxLength: 3 });

/** `where` says which layer is surely mutated; the others mostly stay whole, so that the damage is reached. */
export function recipes(where: 'vhd' | 'tar' | 'pack'): fc.Arbitrary<Recipe> {
  const here = (layer: string): number => (layer === where ? 1 : 0);
  const rarely = (layer: string, mutation: fc.Arbitrary<Mutation>): fc.Arbitrary<Mutation[]> =>
    here(layer) === 1
      ? few(mutation, 1)
      : fc.oneof({ weight: 15, arbitrary: fc.constant<Mutation[]>([]) }, { weight: 1, arbitrary: few(mutation, 1) });
  return fc.record({
    seed: fc.nat(vhdSeeds.length - 1),
    inVhd: rarely('vhd', vhdMutation),
    wrap: where === 'tar' ? fc.constantFrom<Wrap[]>('tar', 'gnu', 'pax') : fc.constantFrom<Wrap[]>('bare', 'tar', 'gnu', 'pax'),
    inTar: rarely('tar', tarMutation),
    pack: where === 'pack' ? fc.constantFrom<Pack[]>('gzip', 'members') : fc.constantFrom<Pack[]>('none', 'none', 'gzip', 'members'),
    inPack: rarely('pack', gzipMutation),
  });
}

/** A chain in any order, with one layer changed. */
export const chains: fc.Arbitrary<Buffer> = fc
  .record({
    changed: fc.nat(chainLayers.length - 1),
    inVhd: few(vhdMutation, 1),
    order: fc.shuffledSubarray([0, 1, 2], { minLength: 3 }),
    pack: fc.constantFrom<Pack[]>('none', 'gzip'),
  })
  .map(({ changed, inVhd, order, pack }) => {
    const layers = chainLayers.map((layer, rank) =>
      rank === changed ? mutate(layer, inVhd, chainLayers[(rank + 1) % 3] ?? layer) : layer,
    );
    return packs[pack](chainTar(layers, order));
  });

const sometimes = (max: number): fc.Arbitrary<number | undefined> => fc.option(fc.nat(max), { nil: undefined, freq: 5 });

export const usages: fc.Arbitrary<Usage> = fc.record({
  sizes: chunkSizes,
  align: fc.constantFrom(512, 4096),
  zero: fc.constantFrom<ZeroPolicy[]>('auto', 'assume-zero', 'write'),
  readsZero: fc.boolean(),
  failAt: sometimes(10),
  breakAt: sometimes(40),
  cancelAt: sometimes(40),
  toFile: fc.nat(3).map((draw) => draw === 0),
});

/** Larger ones are not compared byte by byte. */
const COMPARABLE = 4 << 20;

/** Few buffers, so that the decoder has to wait for the pump. */
const smallPool = (): Pool => createPool({ count: 3, size: 16_384 });

export function imageOf(recipe: Recipe): Buffer {
  const other = vhdSeeds[(recipe.seed + 1) % vhdSeeds.length] ?? Buffer.alloc(0);
  const vhd = mutate(vhdSeeds[recipe.seed] ?? Buffer.alloc(0), recipe.inVhd, other);
  const tar = mutate(wraps[recipe.wrap](vhd), recipe.inTar, wraps.tar(other));
  return mutate(packs[recipe.pack](tar), recipe.inPack);
}

/** An image may be read or refused; there is no third way. Undefined where it is refused. */
async function readOrRefuse<T>(work: Promise<T>, pool?: Pool): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof VdiStreamError)) throw error;
    expect(error.message).not.toBe('');
    if (error.offset !== undefined)
      expect(Number.isInteger(error.offset) && error.offset >= 0, `offset ${error.offset} of ${error.code}`).toBe(true);
    return undefined;
  } finally {
    // The decoder may be filling one more while a failure is reported; test/engine/closing.test.ts looks at that more closely.
    await vi.waitFor(() => expect(pool?.free, 'buffers in the pool').toBe(pool?.count), { timeout: 10_000, interval: 1 });
  }
}

interface Written {
  readonly virtualSize: number;
  readonly content: Uint8Array | undefined;
}

async function pumpInto(input: string | Chunks, usage: Usage, signal?: AbortSignal): Promise<Written | undefined> {
  const { align, zero, readsZero, failAt } = usage;
  const pool = smallPool();
  const source = await openSource(input, { signal });
  try {
    return await readOrRefuse(
      (async () => {
        const disk = await onlyDisk([source], { image: { choice: {}, virtualSize: chainSize, warn: () => {} }, anyParent: false });
        if (isLate(disk)) throw leafIsLate(disk);
        const target = memoryTarget({ size: disk.virtualSize, align, readsZero, failAt, rewrites: true });
        const counts = await pump(disk.extents(pool, { signal }), target, { size: disk.virtualSize, zero, signal }).finally(() =>
          expect(target.wrong).toEqual([]),
        );
        expect(counts.bytesWritten + counts.bytesZeroed + counts.bytesSkipped).toBe(disk.virtualSize);
        // That of a longer fixed VHD in a stream is known only now.
        const { virtualSize } = counts.end;
        if (disk.virtualSize > COMPARABLE) return { virtualSize, content: undefined };
        const content = new Uint8Array(target.size);
        await target.read(content, 0);
        return { virtualSize, content: content.subarray(0, virtualSize) };
      })(),
      pool,
    );
  } finally {
    await source.close();
  }
}

/** A stream that breaks with an error of its own, or makes `controller` fire. */
async function* troubled(bytes: Uint8Array, usage: Usage, controller: AbortController): Chunks {
  let index = 0;
  for await (const chunk of reusing(bytes, usage.sizes)) {
    if (index === usage.breakAt) throw new Error('the pipe broke');
    if (index === usage.cancelAt) controller.abort();
    index++;
    yield chunk;
  }
}

/** Everything that can be done with an image. Files go into `folder`. */
export async function expectHandled(bytes: Buffer, usage: Usage, folder: string): Promise<void> {
  const path = join(folder, 'image');
  const target = join(folder, 'disk');
  writeFileSync(path, bytes);
  const stream = (): Chunks => reusing(bytes, usage.sizes);
  const calm = { ...usage, failAt: undefined };

  const shown = await readOrRefuse(info(stream()));
  // It returns for any input.
  const checked = await check(stream());
  expect(checked.ok).toBe(checked.findings.every(({ severity }) => severity === 'warning'));
  const streamed = await pumpInto(stream(), calm);
  const jumped = await pumpInto(path, calm);
  // Data may be damaged where structure is not, but never the other way round.
  if (streamed) expect(shown?.virtualSize).toBe(streamed.virtualSize);
  if (streamed && jumped) {
    expect(streamed.virtualSize, 'the size in a stream and in a file').toBe(jumped.virtualSize);
    // Where a promise of zeros is not kept, what shows depends on the order of the layers.
    const kept = usage.zero !== 'assume-zero' || usage.readsZero;
    if (kept && streamed.content && jumped.content) expect(Buffer.compare(streamed.content, jumped.content), 'stream and file').toBe(0);
  }

  const controller = new AbortController();
  await pumpInto(troubled(bytes, usage, controller), usage, controller.signal);
  await vi.waitFor(() => expect(getEventListeners(controller.signal, 'abort'), 'listeners left on the signal').toEqual([]));

  if (!usage.toFile) return;
  try {
    const pool = smallPool();
    const written = await readOrRefuse(writeDisk(stream(), target, { pool, virtualSize: chainSize }), pool);
    expect(existsSync(target), 'a file only where the call succeeded').toBe(written !== undefined);
    if (written) {
      expect(written.virtualSize).toBe(streamed?.virtualSize);
      expect(statSync(target).size).toBe(written.virtualSize);
      // What was left alone in memory holds old bytes; a new file holds zeros there.
      const same = streamed?.content && (usage.zero !== 'assume-zero' || usage.readsZero);
      if (same) expect(Buffer.compare(readFileSync(target), streamed.content), 'file and memory').toBe(0);
    }
  } finally {
    rmSync(target, { force: true });
  }
}
