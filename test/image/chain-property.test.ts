import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { createPool, info, type TargetOpener, verifyDisk, writeDisk, type ZeroPolicy } from '../../src/index.ts';
import { type Chain, chainOf, chainTar, chunked, permutations, stored, storedVhds, streamed } from '../support/chains.ts';
import { chunkSizes } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { type MemoryTarget, memoryTarget } from '../support/memory-target.ts';
import { roundsOf } from '../support/rounds.ts';
import { programs, runProgram } from '../support/stack-programs.ts';
import { shuffle } from '../support/vhd-model.ts';

/** In memory, so that the calls of the library can be made on sectors of any size, and be watched. It is opened several times, and stays open. */
const opener = (target: MemoryTarget): TargetOpener => ({
  name: 'memory',
  open: async () => ({ ...target, close: async () => {}, abandon: async () => {} }),
});

// Few and small, so that extents are cut and have to wait.
const pool = createPool({ count: 3, size: 64 * 1024 });

type Input = Parameters<typeof writeDisk>[0];

interface Way {
  readonly name: string;
  readonly input: () => Input;
  readonly virtualSize?: number;
  /** The path of a file that does not exist, as the target. */
  readonly toFile?: string;
}

const manners = fc.record({
  sector: fc.constantFrom(512, 4096),
  zero: fc.constantFrom<ZeroPolicy[]>('auto', 'write', 'assume-zero'),
  /** The target is full of zeros before, and known to be; otherwise it is full of old data, unless the caller promises zeros. */
  readsZero: fc.boolean(),
  chunks: chunkSizes,
  seed: fc.nat(),
});

/** Every order of up to three layers, some of those of more. */
function orders(count: number, seed: number): readonly number[][] {
  const all = permutations(count);
  return count <= 3 ? all : shuffle(all, seed).slice(0, 4);
}

/** An archive in one order of its members, as everything that can be given; `isNew`: the compressed file is written to a new file. */
function waysOf({ vhds, content }: Chain, order: readonly number[], folder: string, chunks: readonly number[], isNew: boolean): Way[] {
  const tar = chainTar(vhds, order);
  const packed = gzipSync(tar, { level: 1 });
  const plainPath = stored(folder, 'chain.tar', tar);
  const packedPath = stored(folder, 'chain.tar.gz', packed);
  const virtualSize = content.length;
  return [
    { name: 'a file', input: () => plainPath },
    { name: 'a stream', input: () => chunked(tar, chunks), virtualSize },
    isNew
      ? { name: 'a compressed file, to a new file', input: () => packedPath, toFile: join(folder, 'disk') }
      : { name: 'a compressed file', input: () => packedPath },
    { name: 'a compressed stream', input: () => chunked(packed, chunks), virtualSize },
  ];
}

/** The layers as files, and as files of which every second is a stream; a fixed disk in a stream does not say its size in time. */
function listsOf({ vhds, stack }: Chain, folder: string): Way[] {
  const paths = storedVhds(folder, vhds);
  const mixed = (): Input => paths.map((path, rank) => (rank % 2 === 0 && stack.layers[rank]?.kind !== 'fixed' ? streamed(path) : path));
  return [
    { name: 'files', input: () => paths },
    { name: 'files and streams', input: mixed },
  ];
}

test('whatever happened to a stack of snapshots, every archive of it, in every order, produces the disk of a plain model', async () => {
  const folder = testFolder();
  await fc.assert(
    fc.asyncProperty(programs, manners, async (program, { sector, zero, readsZero, chunks, seed }) => {
      const chain = chainOf(runProgram(program), program.forms);
      const { content, vhds } = chain;
      const fill = readsZero || zero === 'assume-zero' ? 0 : 0xaa;
      const size = Math.ceil((content.length + 1) / 4096) * 4096;
      const expected = Buffer.concat([content, Buffer.alloc(size - content.length, fill)]);

      async function tryFile({ input }: Way, path: string): Promise<void> {
        const result = await writeDisk(input(), path, { zero, verify: true, pool });
        expect(result).toMatchObject({ virtualSize: content.length, verified: true });
        expect(readFileSync(path).equals(content)).toBe(true);
        rmSync(path);
      }

      async function tryWay({ name, input, virtualSize }: Way): Promise<void> {
        const target = memoryTarget({ size, align: sector, fill, readsZero, rewrites: true });
        // Nothing here waits for a device, and the memory of buffers is given back between turns of the event loop.
        await setImmediate();
        const result = await writeDisk(input(), opener(target), { zero, verify: true, pool, virtualSize }).finally(() =>
          expect(target.wrong, name).toEqual([]),
        );
        expect(result).toMatchObject({ virtualSize: content.length, verified: true });
        // A base may end in blocks that hold nothing.
        expect(result.warnings.filter(({ code }) => code !== 'VHD_EMPTY_TAIL')).toEqual([]);
        expect(result.bytesWritten + result.bytesZeroed + result.bytesSkipped).toBe(content.length);
        expect(Buffer.compare(target.content(), expected), `what ${name} has become`).toBe(0);
        expect(pool.free).toBe(pool.count);

        const options = { pool, virtualSize };
        await expect(verifyDisk(input(), opener(target), options)).resolves.toMatchObject({ bytesCompared: content.length });
        target.flip(seed % content.length);
        await expect(verifyDisk(input(), opener(target), options)).rejects.toMatchObject({ code: 'VERIFY_MISMATCH' });
        // The decoder may be filling one more while the failure is reported; test/engine/closing.test.ts covers that.
        await vi.waitFor(() => expect(pool.free).toBe(pool.count), { interval: 1 });
      }

      const check = (way: Way, order: readonly number[]): Promise<void> =>
        (way.toFile === undefined ? tryWay(way) : tryFile(way, way.toFile)).catch((cause: unknown) => {
          throw new Error(`${way.name}, order ${order}`, { cause });
        });

      const small = vhds.reduce((total, { length }) => total + length, 0) < 2 << 20;
      for (const [position, order] of orders(vhds.length, seed).entries()) {
        const isNew = (position + seed) % 8 < 4;
        for (const [index, way] of waysOf(chain, order, folder, chunks, isNew).entries()) {
          // Large cases would take most of the time.
          if (small || index === (position + seed) % 4) await check(way, order);
        }
      }
      for (const way of listsOf(chain, folder)) await check(way, [...vhds.keys()]);
      const found = await info(storedVhds(folder, vhds));
      expect(found).toMatchObject({ virtualSize: content.length, disks: [{ virtualSize: content.length }] });
    }),
    { numRuns: roundsOf({ inSuite: 20, long: 1000 }) },
  );
});
