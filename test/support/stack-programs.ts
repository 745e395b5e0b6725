/** Programs for a stack of snapshots: what may happen to a disk in its life, mostly at places where something begins or ends. */

import fc from 'fast-check';
import { createStack, type Form, SECTOR, type Stack } from './vhd-model.ts';

/** A position in sectors, near something. */
interface Place {
  readonly near: 'start' | 'end' | 'block' | 'byte of a bitmap' | 'end of the parent';
  readonly index: number;
  readonly delta: number;
}

/** So many blocks and so many sectors; one sector at least. */
interface Length {
  readonly blocks: number;
  readonly sectors: number;
}

interface Step {
  readonly does: 'write' | 'zero';
  readonly place: Place;
  readonly length: Length;
}

/** What happens to a layer before it is frozen. */
interface Life {
  readonly blockSize: number;
  readonly resize: 'no' | 'grow' | 'shrink' | 'as the base';
  readonly steps: readonly Step[];
  /** Of the disk, where it is resized. */
  readonly place: Place;
  readonly length: Length;
}

export interface Program {
  readonly base: 'fixed' | 'dynamic';
  /** Of the base, in its own blocks, less so many sectors. */
  readonly size: { readonly blocks: number; readonly less: number };
  /** Base first. */
  readonly lives: readonly Life[];
  /** How each layer is stored. */
  readonly forms: readonly Form[];
}

const place: fc.Arbitrary<Place> = fc.record({
  near: fc.constantFrom('start', 'end', 'block', 'byte of a bitmap', 'end of the parent'),
  index: fc.nat(20),
  delta: fc.constantFrom(-1, 0, 1),
});

const length: fc.Arbitrary<Length> = fc.record({
  blocks: fc.constantFrom(0, 0, 0, 1, 1, 2, 100),
  sectors: fc.constantFrom(-1, 0, 1, 7, 8, 9),
});

const step: fc.Arbitrary<Step> = fc.record({ does: fc.constantFrom('write', 'write', 'zero'), place, length });

const form: fc.Arbitrary<Form> = fc.record({
  seed: fc.nat(1_000_000),
  creator: fc.constantFrom('test', 'win ', 'qemu', 'caml'),
  shuffled: fc.boolean(),
  garbage: fc.boolean(),
  batmap: fc.boolean(),
  spare: fc.constantFrom(0, 1, 130),
  gap: fc.constantFrom(0, 0, 1, 7, 20),
  idle: fc.constantFrom(0, 0, 2, 3),
  short: fc.boolean(),
  locators: fc.constantFrom('sectors', 'bytes', undefined),
}) as fc.Arbitrary<Form>;

const KIB = 1024;

/** From one layer to four, on disks of some sectors to some MiB. */
export const programs: fc.Arbitrary<Program> = fc
  .oneof(
    { weight: 4, arbitrary: fc.record({ unit: fc.constantFrom(512, 4 * KIB), blocks: fc.integer({ min: 1, max: 12 }) }) },
    { weight: 4, arbitrary: fc.record({ unit: fc.constant(64 * KIB), blocks: fc.integer({ min: 1, max: 6 }) }) },
    { weight: 1, arbitrary: fc.record({ unit: fc.constantFrom(512 * KIB, 2048 * KIB), blocks: fc.integer({ min: 1, max: 3 }) }) },
  )
  .chain(({ unit, blocks }) =>
    fc.record({
      base: fc.constantFrom('dynamic', 'dynamic', 'fixed'),
      size: fc.record({ blocks: fc.constant(blocks), less: fc.oneof(fc.constantFrom(0, 1, 7, 8, 9), fc.nat(unit / SECTOR)) }),
      lives: fc.array(
        fc.record({
          blockSize: fc.constantFrom(1, 1, 1, 0.25, 4).map((factor) => Math.max(512, unit * factor)),
          resize: fc.constantFrom('no', 'no', 'no', 'grow', 'shrink', 'as the base', 'as the base'),
          steps: fc.array(step, { maxLength: 5 }),
          place,
          length,
        }),
        { minLength: 1, maxLength: 4 },
      ),
      forms: fc.array(form, { minLength: 1, maxLength: 3 }),
    }),
  );

export function runProgram({ base, size, lives }: Program): Stack {
  const blockSize = lives[0]?.blockSize ?? 2 << 20;
  const stack = createStack({ kind: base, blockSize, size: Math.max(1, (size.blocks * blockSize) / SECTOR - size.less) });
  for (const [index, life] of lives.entries()) {
    if (index > 0) stack.snapshot(life.blockSize);
    if (index > 0) resize(stack, life);
    for (const step of life.steps) take(stack, step, life.blockSize / SECTOR);
  }
  return stack;
}

const sectorsOf = ({ blocks, sectors }: Length, block: number): number => Math.max(1, blocks * block + sectors);

function resize(stack: Stack, { resize, place, length, blockSize }: Life): void {
  const block = blockSize / SECTOR;
  if (resize === 'grow') stack.resize(stack.size + Math.min(sectorsOf(length, block), 2 * block + 9));
  if (resize === 'shrink') stack.resize(Math.max(1, position(place, stack, block)));
  if (resize === 'as the base') stack.resize(stack.layers.at(-1)?.size ?? stack.size);
}

function take(stack: Stack, { does, place, length }: Step, block: number): void {
  const at = position(place, stack, block);
  if (does === 'zero') stack.writeZeros(at, sectorsOf(length, block));
  else stack.write(at, sectorsOf(length, block));
}

function position({ near, index, delta }: Place, { size, layers }: Stack, block: number): number {
  const anchors = {
    start: 0,
    end: size - 1,
    block: (index * block) % (size + 1),
    'byte of a bitmap': (index * 8) % (size + 1),
    'end of the parent': layers[1]?.size ?? size,
  };
  return Math.min(Math.max(0, anchors[near] + delta), size - 1);
}
