/** What only one file may do: start a process, print; and who may read the clock on the wall. */

import { expect, test } from 'vitest';
import { type Module, madeUp, type Node, parse, readSources } from '../support/sources.ts';

const house = readSources('src').map(parse);

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && 'type' in value;

/** The name of an identifier, or the last one of `a.b.c`. */
function nameOf(node: unknown): string {
  if (!isNode(node)) return '';
  return node.type === 'MemberExpression' ? nameOf(node.property) : typeof node.name === 'string' ? node.name : '';
}

/** Of `a.b`, or of `a['b']`. */
const propertyOf = ({ property }: Node): string =>
  isNode(property) && typeof property.value === 'string' ? property.value : nameOf(property);

const using = (modules: readonly Module[], uses: (module: Module) => boolean): string[] => modules.filter(uses).map(({ path }) => path);

const startsProcesses = ({ imports }: Module): boolean =>
  imports.some(({ specifier }) => /^(?:node:)?(?:child_process|cluster)$/.test(specifier));

test('only host/child.ts starts processes', () => {
  expect(using(house, startsProcesses)).toEqual(['src/host/child.ts']);
});

/** `process.stdout.write` and the like, and `console`. Whether they are terminals may be asked anywhere. */
const prints = ({ nodes }: Module): boolean =>
  nodes.some(({ node }) => {
    if (node.type !== 'MemberExpression') return false;
    return nameOf(node.object) === 'console' || (propertyOf(node) === 'write' && /^std(?:out|err)$/.test(nameOf(node.object)));
  });

test('only the output of the command line, the log of the plugin, and an image for standard output are printed', () => {
  expect(using(house, prints)).toEqual(['src/cli/output.ts', 'src/plugin/serve.ts', 'src/sink/stdout.ts']);
});

/** Files that compare with a time that another program or machine has set, which a monotonic clock cannot. */
const WALL_CLOCK = [
  { path: 'src/cli/log.ts', reason: 'the times in the log of a run, which are compared with other logs' },
  { path: 'src/engine/check.ts', reason: 'the timestamp in the footer of a VHD' },
  { path: 'src/engine/export.ts', reason: 'the timestamps in a new VHD and its archive' },
  { path: 'src/host/lock.ts', reason: 'the modification time of a lock file' },
  { path: 'src/source/entries.ts', reason: 'the modification time of a cache entry' },
  { path: 'src/xen/record.ts', reason: 'the age of a record, from an earlier boot too' },
];

/** `Date.now()`, `new Date()` and `Date()`; `new Date(time)` reads no clock. */
const readsWallClock = ({ nodes }: Module): boolean =>
  nodes.some(({ node }) => {
    if (node.type === 'MemberExpression') return nameOf(node.object) === 'Date' && propertyOf(node) === 'now';
    const isMade = node.type === 'NewExpression' && [node.arguments].flat().length === 0;
    return (isMade || node.type === 'CallExpression') && isNode(node.callee) && node.callee.name === 'Date';
  });

test('durations and deadlines are measured with a monotonic clock: only the listed files read the time of day', () => {
  expect(using(house, readsWallClock)).toEqual(WALL_CLOCK.map(({ path }) => path));
});

test('those rules find each form', () => {
  const files = {
    'src/a.ts': `import { spawn } from 'node:child_process'; export const now = Date.now();`,
    'src/b.ts': `export const start = () => import('child_process'); process.stderr.write('x');`,
    'src/c.ts': `export const now = new Date(); console.error('x');`,
    'src/d.ts': `export const now = Date['now']; const { stdout } = process; stdout.write('x');`,
    'src/e.ts': `export const date = new Date(0); export const tty = process.stderr.isTTY; performance.now(); file.write('x');`,
    'src/f.ts': `export const text = Date();`,
  };
  expect(using(madeUp(files), startsProcesses)).toEqual(['src/a.ts', 'src/b.ts']);
  expect(using(madeUp(files), prints)).toEqual(['src/b.ts', 'src/c.ts', 'src/d.ts']);
  expect(using(madeUp(files), readsWallClock)).toEqual(['src/a.ts', 'src/c.ts', 'src/d.ts', 'src/f.ts']);
});
