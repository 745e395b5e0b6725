/** What a file exports, and what it is called. */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Module, madeUp, parse, readSources } from '../support/sources.ts';

const house = readSources('src').map(parse);
const others = readSources('test', 'fuzz', 'bench', 'scripts', 'examples').map(parse);

/** The files that others start or import by what package.json says. What these export is for the world. */
function entries(packageJson: string): string[] {
  const { bin, exports } = JSON.parse(packageJson);
  return [...JSON.stringify([bin, exports]).matchAll(/dist\/([\w/-]+)\.js/g)].map(([, name]) => `src/${name}.ts`);
}

/**
 * An export is used when a file imports it by its name, other than the one that exports it. That a program starts at a file, or the
 * package exports it, is a use of all that the file exports. A use in test/, fuzz/, bench/, scripts/ or examples/ is a use too: an
 * export that only a test needs may stay, for as long as the test imports it.
 */
function unused(modules: readonly Module[], users: readonly Module[], open: readonly string[]): string[] {
  const used = new Set(
    [...modules, ...users].flatMap(({ path: user, imports }) =>
      imports.flatMap(({ path, names }) => (path === user ? [] : names.map((name) => `${path} ${name}`))),
    ),
  );
  return modules
    .filter(({ path }) => !open.includes(path) && !used.has(`${path} *`))
    .flatMap(({ path, exports }) => exports.map((name) => `${path} ${name}`).filter((name) => !name.endsWith(' *') && !used.has(name)));
}

test('every export is used outside its file, if only by a test, or is exported by the package', () => {
  const open = entries(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  expect(open).toEqual(expect.arrayContaining(['src/index.ts', 'src/cli/main.ts', 'src/plugin/main.ts']));
  expect(unused(house, others, open)).toEqual([]);
});

test('that rule finds unused exports, and recognizes every form of use', () => {
  const files = {
    'src/index.ts': `export { a } from './a.ts'; export type { T } from './a.ts'; export const world = 1;`,
    'src/a.ts': `export const a = 1, alone = 2; export type T = 1; export interface Alone { a: 1 } export function tested() {}`,
    'src/b.ts': `export const { b, c: [d], ...rest } = {}; export default 1; export { own as shown }; const own = 1; shown();`,
    'src/c.ts': `export const e = 1; export type F = 1; export type Doc = 1; export type Docless = 1;`,
    'src/all.ts': `export const g = 1;`,
    'src/later.ts': `export const h = 1;`,
    'src/d.ts': `import b, { d } from './b.ts'; import * as all from './all.ts'; const later = () => import('./later.ts'); type G = import('./c.ts').F;`,
    'src/mentioned.ts': `export const i = 1; export const j = 'import { i } from ./mentioned.ts'; // import { j } from './mentioned.ts'`,
    'src/self.ts': `import { k } from './self.ts'; export const k = 1;`,
  };
  const users = {
    'test/a.test.ts': `import { tested } from '../src/a.ts'; import { e } from '../dist/c.js';`,
    'bench/b.mjs': `/** @type {import('../src/c.ts').Doc} */ export let a;`,
  };
  expect(unused(madeUp(files), madeUp(users), ['src/index.ts'])).toEqual([
    'src/a.ts alone',
    'src/a.ts Alone',
    'src/b.ts b',
    'src/b.ts rest',
    'src/b.ts shown',
    'src/c.ts Docless',
    'src/mentioned.ts i',
    'src/mentioned.ts j',
    'src/self.ts k',
  ]);
  expect(unused(madeUp(files), [], ['src/index.ts'])).toEqual(expect.arrayContaining(['src/a.ts tested', 'src/c.ts e', 'src/c.ts Doc']));
  const packageJson = { bin: { a: 'dist/cli/main.js' }, exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } } };
  expect(entries(JSON.stringify(packageJson))).toEqual(['src/cli/main.ts', 'src/index.ts']);
});

/** Names of exports that a second file declares at its top level, exported or not. To export again what was imported declares nothing. */
function declaredTwice(modules: readonly Module[]): string[] {
  const exported = new Set(modules.flatMap(({ exports, declared }) => exports.filter((name) => declared.includes(name))));
  return [...exported].toSorted().flatMap((name) => {
    const files = modules.filter(({ declared }) => declared.includes(name)).map(({ path }) => path);
    return files.length > 1 ? [`${name}: ${files.join(', ')}`] : [];
  });
}

test('the name of an export is declared only once in src: a name has one meaning', () => {
  expect(declaredTwice(house)).toEqual([]);
});

test('that rule finds two exports of one name, and an export whose name another file declares too', () => {
  const files = {
    'src/a.ts': `export type A = 1; export function b() {} export const own = 1; function helper() {}`,
    'src/b.ts': `export interface A { a: 1 } export const b = 1; function helper() {} export { A as B };`,
    'src/c.ts': `import { own } from './a.ts'; export { b } from './b.ts'; export { own }; const d = (b) => b;`,
    'src/d.ts': `class own {} export class E {} export interface E {} export enum F {}`,
    'src/e.ts': `const { F } = {};`,
  };
  expect(declaredTwice(madeUp(files))).toEqual([
    'A: src/a.ts, src/b.ts',
    'F: src/d.ts, src/e.ts',
    'b: src/a.ts, src/b.ts',
    'own: src/a.ts, src/d.ts',
  ]);
});
