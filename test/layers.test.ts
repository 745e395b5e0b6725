import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const src = fileURLToPath(new URL('../src', import.meta.url));

/** The rows of ARCHITECTURE.md; a folder that is in none of them has no place in the house. */
const ROWS: readonly (readonly string[])[] = [
  ['.'],
  ['disk'],
  ['vhd', 'ova', 'host'],
  ['codec', 'source', 'target'],
  ['http'],
  ['glance', 'image'],
  ['engine'],
  ['xen'],
  ['cli', 'plugin'],
];

const folderOf = (file: string): string => (['index.ts', 'blocks.ts'].includes(file) ? 'cli' : dirname(file));

function layer(file: string): number {
  const row = ROWS.findIndex((folders) => folders.includes(folderOf(file)));
  if (row < 0) throw new Error(`${file} is in no layer`);
  return row;
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

const imports = files.flatMap((file) => {
  const text = readFileSync(join(src, file), 'utf8');
  return [...text.matchAll(/(?:from |import\()'([^']+)'/g)].map(([, target = '']) => ({ file, target }));
});

const inside = imports
  .filter(({ target }) => target.startsWith('.'))
  .map(({ file, target }) => ({ file, target: relative(src, join(src, dirname(file), target)) }));

test('a file imports only from its own folder and from rows above it in the house', () => {
  const wrong = inside.filter(({ file, target }) => folderOf(file) !== folderOf(target) && layer(target) >= layer(file));
  expect(imports.length).toBeGreaterThan(50);
  expect(wrong).toEqual([]);
});

test('the format folders are pure: no Node module but the hashes', () => {
  const pure = ['disk', 'vhd', 'ova'];
  const impure = imports.filter(
    ({ file, target }) => pure.includes(folderOf(file)) && target.startsWith('node:') && target !== 'node:crypto',
  );
  expect(impure).toEqual([]);
});

test('only host/native.ts loads the addon', () => {
  const loaders = files.filter((file) => /\.node[`']/.test(readFileSync(join(src, file), 'utf8')));
  expect(loaders).toEqual(['host/native.ts']);
});

test('no file of ours is longer than 250 lines', () => {
  const root = dirname(src);
  const native = readdirSync(join(root, 'native')).map((name) => join('native', name));
  const long = [...files.map((file) => join('src', file)), ...native]
    .map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1 }))
    // The table of errors is one noun, and one row after the other.
    .filter(({ file, lines }) => lines > 250 && file !== 'src/errors.ts');
  expect(long).toEqual([]);
});
