/** What CONTRIBUTING.md and its neighbours say about the repository holds: paths, scripts, Node versions. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { repositoryPaths } from './support/sources.ts';

const read = (page: string): string => readFileSync(fileURLToPath(new URL(`../${page}`, import.meta.url)), 'utf8');
const prose = (text: string): string => text.replaceAll(/^```.*?^```$/gms, '');
const { scripts, engines } = JSON.parse(read('package.json'));

/**
 * Paths in code spans that are not in the repository. A path may leave out its first folders; `*` matches part of a name. What is built is
 * not in the repository.
 */
function brokenPaths(text: string, paths: readonly string[]): string[] {
  const spans = [...prose(text).matchAll(/`([\w.*/-]+)`/g)].map(([, span = '']) => span);
  const cited = spans.filter((span) => /\/$|[\w*]\.(?:ts|mjs|cc|md|json)$/.test(span) && !['build/', 'dist/'].includes(span));
  return cited.filter((path) => {
    const pattern = path.replaceAll('.', '\\.').replaceAll('*', '[^/]*');
    const there = new RegExp(`(?:^|/)${pattern}${path.endsWith('/') ? '' : '$'}`);
    return !paths.some((file) => there.test(file));
  });
}

test.each(['CONTRIBUTING.md', 'ARCHITECTURE.md', 'SECURITY.md'])('%s names no file and no folder that is not there', (page) => {
  expect(brokenPaths(read(page), repositoryPaths())).toEqual([]);
});

test('that rule sees files and folders that are gone', () => {
  const paths = ['src/vhd/bat.ts', 'src/xen/xe-vdi.ts', 'docs/api.md'];
  const text = '`src/vhd/` `vhd/` `bat.ts` `src/xen/xe-*.ts` `docs/api.md` `dist/` `npm test` `a.b` `src/vmdk/` `footer.ts` `xe-*.mjs`';
  expect(brokenPaths(text, paths)).toEqual(['src/vmdk/', 'footer.ts', 'xe-*.mjs']);
});

test('each `npm run` of CONTRIBUTING.md is a script of package.json', () => {
  const names = [...read('CONTRIBUTING.md').matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name);
  expect(names).toContain('check');
  expect(Object.keys(scripts)).toEqual(expect.arrayContaining(names));
});

test('docs/versioning.md, CONTRIBUTING.md and package.json name the same oldest Node, and the workflow begins with it', () => {
  const oldest = /^>=(\d+)\.(\d+)$/.exec(engines.node);
  const version = `Node ${oldest?.[1]}.${oldest?.[2]}`;
  for (const page of ['docs/versioning.md', 'CONTRIBUTING.md']) expect(read(page)).toContain(`${version} `);
  expect(read('.github/workflows/test.yml')).toContain(`node: [${oldest?.[1]}, `);
});

test('the glossary lists each word once', () => {
  const glossary = read('CONTRIBUTING.md').split('## Glossary')[1] ?? '';
  const words = [...glossary.matchAll(/^\| \*\*(.+?)\*\*/gm)].flatMap(([, words = '']) => words.split(', '));
  expect(words.length).toBeGreaterThan(50);
  expect(words.filter((word, index) => words.indexOf(word) !== index)).toEqual([]);
});
