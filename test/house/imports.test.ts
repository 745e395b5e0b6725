/** Who may import whom. ARCHITECTURE.md has the map of the house with the purpose of each folder. */

import { posix } from 'node:path';
import { expect, test } from 'vitest';
import { type Module, madeUp, parse, readSources } from '../support/sources.ts';

/** The rows of that map, from the first; a folder that is in none of them has no place in the house. */
const ROWS: readonly (readonly string[])[] = [
  ['src'],
  ['src/disk'],
  ['src/vhd', 'src/ova', 'src/host'],
  ['src/codec', 'src/source', 'src/sink', 'src/target'],
  ['src/http', 'src/nbd'],
  ['src/glance', 'src/image'],
  ['src/engine'],
  ['src/xen'],
  ['library', 'src/cli', 'src/plugin'],
];

/** The files of what the package exports: in src/ itself, but of the last row. */
const LIBRARY = ['src/index.ts', 'src/blocks.ts'];

const folderOf = (path: string): string => (LIBRARY.includes(path) ? 'library' : posix.dirname(path));
const rowOf = (path: string): number => ROWS.findIndex((folders) => folders.includes(folderOf(path)));

const house = readSources('src').map(parse);

function homeless(modules: readonly Module[]): string[] {
  return modules.map(({ path }) => path).filter((path) => rowOf(path) < 0);
}

test('every file is in a folder that has a row', () => {
  expect(house.length).toBeGreaterThan(100);
  expect(homeless(house)).toEqual([]);
});

test('that rule finds a new folder, and a nested folder', () => {
  const files = { 'src/errors.ts': '', 'src/vhd/footer.ts': '', 'src/nfs/mount.ts': '', 'src/vhd/tables/bat.ts': '' };
  expect(homeless(madeUp(files))).toEqual(['src/nfs/mount.ts', 'src/vhd/tables/bat.ts']);
});

function againstTheRows(modules: readonly Module[]): string[] {
  return modules.flatMap(({ path, imports }) =>
    imports.flatMap(({ path: target }) => {
      if (target === undefined || folderOf(target) === folderOf(path) || (rowOf(target) >= 0 && rowOf(target) < rowOf(path))) return [];
      return [`${path} imports ${target}`];
    }),
  );
}

test('a file imports only from its own folder and from rows above it, never from another folder of its row', () => {
  expect(againstTheRows(house)).toEqual([]);
});

test('that rule finds imports from rows below, sideways and out of src, in every form of import', () => {
  const files = {
    'src/errors.ts': `import { quote } from './quote.ts';`,
    'src/bytes.ts': `import { A } from './disk/a.ts';`,
    'src/disk/a.ts': `export type A = import('../vhd/b.ts').B;`,
    'src/vhd/b.ts': `import type { Tar } from '../ova/tar.ts'; import { A } from '../disk/a.ts'; export type B = Tar & A;`,
    'src/ova/tar.ts': `export * from '../cli/main.ts';`,
    'src/http/client.ts': `const later = () => import('../engine/job.ts');`,
    'src/xen/vdi.ts': `import { folder } from '../../test/support/folder.ts';`,
    'src/cli/main.ts': `import { info } from '../index.ts';`,
    'src/index.ts': `export { info } from './engine/info.ts';`,
  };
  expect(againstTheRows(madeUp(files))).toEqual([
    'src/bytes.ts imports src/disk/a.ts',
    'src/disk/a.ts imports src/vhd/b.ts',
    'src/vhd/b.ts imports src/ova/tar.ts',
    'src/ova/tar.ts imports src/cli/main.ts',
    'src/http/client.ts imports src/engine/job.ts',
    'src/xen/vdi.ts imports test/support/folder.ts',
    'src/cli/main.ts imports src/index.ts',
  ]);
});

/** Of the circles through a file the shortest, each once, beginning with the path that sorts first. */
function circles(modules: readonly Module[]): string[] {
  const importsOf = new Map(modules.map(({ path, imports }) => [path, imports.flatMap(({ path: target }) => target ?? [])]));
  const found = [...importsOf.keys()].flatMap((start) => {
    const paths = [[start]];
    const seen = new Set<string>();
    for (const path of paths) {
      for (const next of importsOf.get(path.at(-1) ?? '') ?? []) {
        if (next === start) return [path];
        if (!seen.has(next)) paths.push([...path, next]);
        seen.add(next);
      }
    }
    return [];
  });
  const fromFirst = found.map((path) => {
    const first = path.indexOf(path.toSorted()[0] ?? '');
    return [...path.slice(first), ...path.slice(0, first), path[first]].join(' > ');
  });
  return [...new Set(fromFirst)].toSorted();
}

test('no files import each other in a cycle, not even types', () => {
  expect(circles(house)).toEqual([]);
});

test('that rule finds cycles of two files, of three, of types, and of a file with itself', () => {
  const files = {
    'src/a.ts': `import type { B } from './b.ts';`,
    'src/b.ts': `export type B = import('./a.ts').A;`,
    'src/x.ts': `export * from './y.ts'; import './a.ts';`,
    'src/y.ts': `export { z } from './z.ts';`,
    'src/z.ts': `const later = () => import('./x.ts');`,
    'src/self.ts': `import type { Self } from './self.ts';`,
    'src/below.ts': '',
    'src/left.ts': `import './below.ts';`,
    'src/right.ts': `import './below.ts'; import './left.ts';`,
  };
  expect(circles(madeUp(files))).toEqual([
    'src/a.ts > src/b.ts > src/a.ts',
    'src/self.ts > src/self.ts',
    'src/x.ts > src/y.ts > src/z.ts > src/x.ts',
  ]);
});

const PURE = ['src/disk', 'src/vhd', 'src/ova'];

/** The pure folders see bytes and nothing else: hashes, a parser that is handed its text, and a maker of tar headers are all they need. */
const PURE_MODULES = ['node:crypto', 'sax', 'tar-stream'];

/** What would let them see the machine without an import. */
const MACHINE = ['process', 'globalThis', 'fetch', 'require'];

/** Of the pure folders and all that they import. */
function impure(modules: readonly Module[]): string[] {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const reached = new Set(modules.filter(({ path }) => PURE.includes(folderOf(path))));
  for (const { imports } of reached) {
    for (const { path } of imports) {
      const module = byPath.get(path ?? '');
      if (module) reached.add(module);
    }
  }
  return [...reached].flatMap(({ path, imports, nodes }) => {
    const outside = imports.filter(({ path: target, specifier }) => target === undefined && !PURE_MODULES.includes(specifier));
    const names = nodes.flatMap(({ node, parent }) => {
      const isMember = !parent.computed && (parent.property === node || (parent.key === node && !parent.shorthand));
      return node.type === 'Identifier' && !isMember && typeof node.name === 'string' ? [node.name] : [];
    });
    return [
      ...outside.map(({ specifier }) => `${path} imports ${specifier}`),
      ...[...new Set(names)].filter((name) => MACHINE.includes(name)).map((name) => `${path} uses ${name}`),
    ];
  });
}

test('the format folders and all that they import are pure: they use no Node module except the hashes, no process and no network', () => {
  expect(impure(house)).toEqual([]);
});

test('that rule finds Node modules, packages and globals, also those of a file that is only imported', () => {
  const files = {
    'src/vhd/a.ts': `import { createHash } from 'node:crypto'; import { b } from '../bytes.ts'; export const a = Buffer.alloc(1);`,
    'src/vhd/b.ts': `import type { Stats } from 'fs'; export const later = () => import('undici');`,
    'src/disk/c.ts': `export const { env } = process; export const d = (e) => e.process({ process: 1, fetch: 2 });`,
    'src/ova/d.ts': `import { parser } from 'sax'; export const e = globalThis.process;`,
    'src/bytes.ts': `import { constants } from 'node:os'; export const b = 1;`,
    'src/quote.ts': `import 'node:fs'; export const q = process.platform;`,
    'src/host/lock.ts': `import 'node:fs';`,
  };
  expect(impure(madeUp(files))).toEqual([
    'src/vhd/b.ts imports fs',
    'src/vhd/b.ts imports undici',
    'src/disk/c.ts uses process',
    'src/ova/d.ts uses globalThis',
    'src/bytes.ts imports node:os',
  ]);
});

/** Loaders of native code: `process.dlopen`, or a path that ends in `.node`. */
function loaders(modules: readonly Module[]): string[] {
  const loads = (text: string): boolean => /\.node[`'"]|\bdlopen\b/.test(text);
  return modules.filter(({ text }) => loads(text)).map(({ path }) => path);
}

test('only host/native.ts loads the addon', () => {
  expect(loaders(house)).toEqual(['src/host/native.ts']);
});

test('that rule finds a second loader', () => {
  const files = {
    'src/host/native.ts': 'require(root + `/vdistream.node`)',
    'src/codec/gunzip.ts': `require('../zlib.node')`,
    'src/a.ts': '',
  };
  expect(loaders(madeUp(files))).toEqual(['src/host/native.ts', 'src/codec/gunzip.ts']);
});
