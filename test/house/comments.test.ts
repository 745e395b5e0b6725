/** What comments refer to: a reader has this repository and public sources, and nothing else. */

import { posix } from 'node:path';
import { parseSync } from 'rolldown/utils';
import { expect, test } from 'vitest';
import { readSource, repositoryPaths, type SourceText } from '../support/sources.ts';

/** Paths in these folders are ours, whatever they end in. */
const FOLDERS = ['bench', 'docs', 'examples', 'fuzz', 'native', 'scripts', 'src', 'test'];

/** So are files that end like this, wherever they are. Those of Xen, xapi, Nova and the kernel are in C, OCaml, Python and shell. */
const OURS = /\w\.(?:ts|mts|mjs|md|cc)$/;

/** A document by the name that such files have, all in capitals, with the number of a section. */
const SECTION = /\b([A-Z]{5,})(?:\.md)?,? \d+(?:\.\d+)*/g;

const folderOf = (path: string): string => (path.includes('/') ? (path.split('/', 1)[0] ?? '') : '');
const isOurs = (word: string): boolean => OURS.test(word) || FOLDERS.includes(folderOf(word));

/** The comments of a file, by its language. Strings are matched too, so that what looks like a comment in them is none. */
function commentsOf(file: SourceText): readonly string[] {
  if (/\.(?:ts|mjs)$/.test(file.path)) return parseSync(file.path, file.text).comments.map(({ value }) => value);
  const language = /\.(?:cc|h|S)$/.test(file.path)
    ? /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])'|(?<comment>\/\/.*|\/\*[\s\S]*?\*\/)/g
    : /(?<comment>"""[\s\S]*?""")|"(?:\\.|[^"\\])*"|'[^'\n]*'|(?<=^|\s)(?<line>#.*)/gm;
  return [...file.text.matchAll(language)].flatMap(({ groups }) => groups?.comment ?? groups?.line ?? []);
}

/** A path may be cited from the root, from the folder of the file that cites it, or by its last names alone. */
function isThere(cited: string, from: string, paths: readonly string[]): boolean {
  const places = [cited, posix.join(posix.dirname(from), cited)].map((path) => path.replace(/\/$/, ''));
  return paths.some((path) => path.endsWith(`/${cited}`) || places.some((place) => path === place || path.startsWith(`${place}/`)));
}

function brokenCitations(files: readonly SourceText[], paths: readonly string[]): string[] {
  const documents = paths.map((path) => posix.basename(path, '.md'));
  return files.flatMap((file) =>
    commentsOf(file).flatMap((comment) => {
      const words = comment.replace(/\w+:\/\/\S+/g, '').match(/[\w@./-]+/g) ?? [];
      const cited = words.map((word) => word.replace(/\.+$/, '')).filter(isOurs);
      const sections = [...comment.matchAll(SECTION)].filter(([, document = '']) => !documents.includes(document));
      return [
        ...cited.filter((path) => !isThere(path, file.path, paths)).map((path) => `${file.path} cites ${path}`),
        ...sections.map(([section]) => `${file.path} cites ${section}`),
      ];
    }),
  );
}

test('comments cite only files and documents of the repository', () => {
  const paths = repositoryPaths();
  const files = paths.filter((path) => FOLDERS.includes(folderOf(path)) && /\.(?:ts|mjs|cc|h|S|py|sh)$/.test(path)).map(readSource);
  expect(files.length).toBeGreaterThan(250);
  expect(brokenCitations(files, paths)).toEqual([]);
});

test('that rule finds missing files in comments of every language, and ignores paths of other projects', () => {
  const paths = ['docs/cli.md', 'src/vhd/footer.ts', 'src/vhd/bat.ts', 'test/support/tar.ts', 'ARCHITECTURE.md', 'native/io.cc'];
  const there = [
    '// src/vhd/footer.ts, vhd/footer.ts. See footer.ts and `./bat.ts`, ../../docs/cli.md, the files of src/vhd/ and test/support.',
    '/** ARCHITECTURE.md 3, and its ARCHITECTURE 3.1 */ const text = "// src/gone.ts";',
    '// xapi-project/xen-api ocaml/xapi/sm_fs_ops.ml, libvhd.c, vhd.h, glance.py; https://example.org/src/gone.ts and 0.vhd',
  ];
  const gone = [
    ['src/vhd/a.ts', '// see src/io/file.ts'],
    ['src/vhd/b.ts', '/** The layout is\n * in docs/gone.md. */'],
    ['src/vhd/c.ts', 'const a = "a"; // what target.ts does'],
    ['src/vhd/d.ts', '/* the files of src/io/ */'],
    ['src/vhd/e.ts', '// the rule (HANDBOOK 4.5), or NOTES.md 2.'],
    ['bench/f.mjs', '// tests/gone.mjs'],
    ['native/g.cc', 'auto a = "//"; // as in buffers.cc\n/* native/h.h */'],
    ['test/i.py', '"""As test/j.py does."""\na = "# src/b.ts"  # not docs/k.md'],
    ['test/l.sh', `echo '# src/b.ts' # test/m.sh`],
  ].map(([path = '', text = '']) => ({ path, text }));
  expect(brokenCitations([{ path: 'src/vhd/there.ts', text: there.join('\n') }], paths)).toEqual([]);
  expect(brokenCitations(gone, paths)).toEqual([
    'src/vhd/a.ts cites src/io/file.ts',
    'src/vhd/b.ts cites docs/gone.md',
    'src/vhd/c.ts cites target.ts',
    'src/vhd/d.ts cites src/io/',
    'src/vhd/e.ts cites NOTES.md',
    'src/vhd/e.ts cites HANDBOOK 4.5',
    'src/vhd/e.ts cites NOTES.md 2',
    'bench/f.mjs cites tests/gone.mjs',
    'native/g.cc cites buffers.cc',
    'native/g.cc cites native/h.h',
    'test/i.py cites test/j.py',
    'test/i.py cites docs/k.md',
    'test/l.sh cites test/m.sh',
  ]);
});
