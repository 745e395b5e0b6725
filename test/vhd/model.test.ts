import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';
import { programs, runProgram } from '../support/stack-programs.ts';
import { chainVhds, createStack, type Form, SECTOR, type Stack, sectorBytes } from '../support/vhd-model.ts';

/** Which write shows at each sector of a small disk. */
const writesOf = (stack: Stack): number[] => {
  const content = stack.content();
  return Array.from({ length: stack.size }, (_, sector) => content.readUInt32BE((sector + 1) * SECTOR - 4));
};

describe('the model', () => {
  test('shows the nearest layer that wrote a sector, including zeros', () => {
    const stack = createStack({ kind: 'dynamic', size: 6 });
    stack.write(0, 4);
    stack.snapshot();
    stack.write(1, 1);
    stack.writeZeros(2, 1);
    expect(writesOf(stack)).toEqual([1, 2, 0, 1, 0, 0]);
  });

  test('shows zeros where a layer ends, whatever deeper layers hold there', () => {
    const stack = createStack({ kind: 'fixed', size: 6 });
    stack.write(0, 6);
    stack.snapshot();
    stack.resize(3);
    stack.snapshot();
    stack.resize(8);
    stack.write(4, 1);
    expect(writesOf(stack)).toEqual([1, 1, 1, 0, 2, 0, 0, 0]);
  });

  test('writes different bytes at each offset and in each write', () => {
    const all = [0, 1, 300, 5000].flatMap((sector) => [1, 2, 3, 4, 259].map((write) => sectorBytes(sector, write).toString('hex')));
    expect(new Set(all).size).toBe(20);
  });

  test('generates every kind of history: chains that grow and shrink, zeros over data, partly filled blocks', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(programs, (program) => {
        const { layers } = runProgram(program);
        seen.add(`${layers.length} layers`).add(`a ${layers.at(-1)?.kind} base`);
        for (const [rank, { size, sectors, blockSize }] of layers.entries()) {
          const parent = layers[rank + 1];
          const zeros = [...sectors].some(([sector, write]) => write === 0 && (parent?.sectors.get(sector) ?? 0) > 0);
          if (zeros) seen.add('zeros over data');
          if (parent && size > parent.size) seen.add('a child that is larger');
          if (parent && size < parent.size) seen.add('a child that is smaller');
          if (parent && blockSize !== parent.blockSize) seen.add('blocks of different sizes');
          if ((size * SECTOR) % blockSize > 0) seen.add('an odd end');
          if (sectors.size > 0 && sectors.size < size) seen.add('a layer that is partly filled');
        }
      }),
      { numRuns: 300 },
    );
    expect(seen.size).toBe(12);
  });
});

/** Writes at edges of blocks of 2 MiB and of a disk that is no multiple of them, each of them `unit` sectors long. */
function example(unit: number): Stack {
  const size = 5 * 4096 + 13 * 8;
  const stack = createStack({ kind: 'dynamic', size });
  stack.write(0, unit);
  stack.write(4096 - unit, 2 * unit);
  stack.write(size - unit, unit);
  stack.snapshot();
  stack.writeZeros(0, unit);
  stack.write(8192, 4096);
  stack.snapshot();
  stack.write(2 * unit, unit);
  stack.writeZeros(4096, unit);
  return stack;
}

/** Stores a chain in the way of other programs, which look for a parent by its name. Leaf first. */
function store(stack: Stack, form: Form): { readonly paths: string[]; readonly folder: string } {
  const folder = testFolder();
  const forms = stack.layers.map((_, rank) => ({ ...form, seed: form.seed + rank, parentName: `${rank + 1}.vhd` }));
  const paths = chainVhds(stack.layers, forms).map((vhd, rank) => {
    const path = join(folder, `${rank}.vhd`);
    writeFileSync(path, vhd);
    return path;
  });
  return { paths, folder };
}

const last = (paths: readonly string[]): string => paths.at(-1) ?? '';

/** Only the base of a stack, as a stack. */
const baseOf = (stack: Stack): Buffer => {
  const layer = stack.layers.at(-1);
  return Buffer.concat(Array.from({ length: layer?.size ?? 0 }, (_, sector) => sectorBytes(sector, layer?.sectors.get(sector) ?? 0)));
};

const neat: ReadonlyArray<readonly [string, Form]> = [
  ['consecutive blocks', { seed: 1 }],
  ['a batmap, gaps and unwritten blocks', { seed: 2, batmap: true, gap: 7, idle: 2 }],
  ['shuffled blocks after parent locators', { seed: 3, shuffled: true, locators: 'bytes' }],
];
const littered: readonly [string, Form] = ['garbage under clear bits', { seed: 4, garbage: true }];

describe('compared with other decoders', () => {
  // It looks at no sector bitmap, so garbage would show.
  testWith('qemu-img').each(neat)('a base with %s decodes as qemu-img converts it', (_, form) => {
    const stack = example(3);
    const { paths, folder } = store(stack, form);
    const raw = join(folder, 'raw');
    const input = `driver=vpc,force_size_calc=current_size,file.driver=file,file.filename=${last(paths)}`;
    execFileSync('qemu-img', ['convert', '-O', 'raw', '--image-opts', input, raw]);
    expect(readFileSync(raw).equals(baseOf(stack))).toBe(true);
  });

  // In a child vhdimount treats whole bytes of the bitmap as one, so eight sectors are all present or all absent.
  testWith('vhdimount', 'fuse', 'root').each([...neat, littered])('a chain with %s decodes as vhdimount shows it', (_, form) => {
    const stack = example(8);
    const { paths } = store(stack, form);
    const mount = mkdtempSync(join(tmpdir(), 'vdistream-fuse-'));
    execFileSync('vhdimount', [paths[0] ?? '', mount], { stdio: 'pipe' });
    try {
      // The base is vhdi1.
      for (const [name, expected] of [
        [`vhdi${paths.length}`, stack.content()],
        ['vhdi1', baseOf(stack)],
      ] as const) {
        // biome-ignore format: one line
        const bytes = Buffer.alloc(expected.length);
        const file = openSync(join(mount, name), 'r');
        readSync(file, bytes, 0, bytes.length, 0);
        closeSync(file);
        expect(bytes.equals(expected), name).toBe(true);
      }
    } finally {
      execFileSync('umount', [mount]);
      rmdirSync(mount);
    }
  });

  // It refuses garbage.
  testWith('7z').each(neat)('a chain with %s decodes as 7-Zip extracts it', (_, form) => {
    const stack = example(3);
    const { paths, folder } = store(stack, form);
    const out = join(folder, 'out');
    mkdirSync(out);
    execFileSync('7z', ['x', `-o${out}`, paths[0] ?? ''], { stdio: 'pipe' });
    expect(readFileSync(join(out, '0.img')).equals(stack.content())).toBe(true);
  });
});
