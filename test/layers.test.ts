import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const src = fileURLToPath(new URL('../src', import.meta.url));

/** The rows of ARCHITECTURE.md; a folder that is in none of them has no place in the house. */
function layer(file: string): number {
  const folder = dirname(file);
  const rows: Record<string, number> = { vhd: 1, ova: 1, io: 2, engine: 3, xen: 4, glance: 4, cli: 5, plugin: 5 };
  if (file === 'index.ts') return 5;
  if (folder === '.') return 0;
  const row = rows[folder];
  if (row === undefined) throw new Error(`${file} is in no layer`);
  return row;
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

const imports = files.flatMap((file) => {
  const text = readFileSync(join(src, file), 'utf8');
  return [...text.matchAll(/from '([^']+)'/g)].map(([, target = '']) => ({ file, target }));
});

test('a file imports only from its own layer and the ones above it in the house', () => {
  const upward = imports
    .filter(({ target }) => target.startsWith('.'))
    .map(({ file, target }) => ({ file, target: relative(src, join(src, dirname(file), target)) }))
    .filter(({ file, target }) => layer(target) > layer(file));
  expect(imports.length).toBeGreaterThan(50);
  expect(upward).toEqual([]);
});

test('the format folders are pure: no Node module but the hashes', () => {
  const impure = imports.filter(({ file, target }) => layer(file) <= 1 && target.startsWith('node:') && target !== 'node:crypto');
  expect(impure).toEqual([]);
});

test('the two format folders do not know each other', () => {
  const crossing = imports.filter(
    ({ file, target }) => (file.startsWith('vhd/') && target.includes('/ova/')) || (file.startsWith('ova/') && target.includes('/vhd/')),
  );
  expect(crossing).toEqual([]);
});

test('only io/native.ts loads the addon', () => {
  const loaders = files.filter((file) => /createRequire|\.node'/.test(readFileSync(join(src, file), 'utf8')));
  expect(loaders).toEqual(['io/native.ts']);
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
