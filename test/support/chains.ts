/** Chains in every form: archives with members in any order, streams of those, and files. */

import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Chunks } from '../../src/cursor.ts';
import { reusing } from './chunks.ts';
import { tarOf } from './tar.ts';
import { chainVhds, createStack, type Form, type Stack } from './vhd-model.ts';

export interface Chain {
  readonly stack: Stack;
  /** Leaf first. */
  readonly vhds: readonly Buffer[];
  readonly content: Buffer;
}

export const chainOf = (stack: Stack, forms?: readonly Form[]): Chain => ({
  stack,
  vhds: chainVhds(stack.layers, forms),
  content: stack.content(),
});

/** Three layers of 64 KiB blocks: zeros over data, partly filled blocks, an odd end, and a leaf that is larger than its parents. */
export function sampleChain(form: Partial<Form> = {}): Chain {
  const stack = createStack({ kind: 'dynamic', size: 653, blockSize: 64 << 10 });
  stack.write(0, 500);
  stack.write(640, 13);
  stack.snapshot();
  stack.write(130, 9);
  stack.writeZeros(250, 20);
  stack.snapshot();
  stack.resize(900);
  stack.writeZeros(0, 3);
  stack.writeZeros(128, 128);
  stack.write(135, 2);
  stack.write(899, 1);
  return chainOf(stack, [{ seed: 1, garbage: true, ...form }]);
}

/** One layer over another, each with one write. */
export function pair(baseSize = 200, leafSize = baseSize): Chain {
  const stack = createStack({ kind: 'dynamic', size: baseSize, blockSize: 4096 });
  stack.write(0, baseSize);
  stack.snapshot();
  stack.resize(leafSize);
  stack.write(3, 2);
  return chainOf(stack);
}

/** Every order of the ranks of a chain. */
export function permutations(count: number): number[][] {
  if (count === 0) return [[]];
  return permutations(count - 1).flatMap((order) => Array.from(order.concat(0), (_, at) => order.toSpliced(at, 0, count - 1)));
}

export const byNumber = (rank: number): string => `${rank}.vhd`;

/** An archive of VHDs, leaf first unless an order is given. */
export const chainTar = (vhds: readonly Uint8Array[], order: readonly number[] = [...vhds.keys()], nameOf = byNumber): Buffer =>
  tarOf(order.map((rank) => [nameOf(rank), vhds[rank] ?? new Uint8Array(0)]));

/** A stream in chunks of these sizes, larger ones where there is much. */
export function chunked(bytes: Uint8Array, sizes: readonly number[] = [65_536]): Chunks {
  const scale = Math.ceil(bytes.length / 100_000);
  return reusing(
    bytes,
    sizes.map((size) => size * scale),
  );
}

export function stored(folder: string, name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** Files of their own, leaf first. */
export const storedVhds = (folder: string, vhds: readonly Uint8Array[]): string[] =>
  vhds.map((vhd, rank) => stored(folder, `layer-${rank}.vhd`, vhd));

export const streamed = (path: string): Chunks => createReadStream(path);
