/** How long a file and a function may be. */

import { expect, test } from 'vitest';
import { lineOf, type Module, type Node, parse, readSource, readSources, repositoryPaths, type SourceText } from '../support/sources.ts';

const FILE_LINES = 250;
const FUNCTION_LINES = 70;

interface Allowance {
  readonly path: string;
  readonly reason: string;
}

const LONG_FILES: readonly Allowance[] = [
  { path: 'src/errors.ts', reason: 'the table of errors is one noun, and one row after the other' },
];

const linesOf = (text: string): number => text.split('\n').length - (text.endsWith('\n') ? 1 : 0);

/** An allowance for a file that is short enough, or gone, is as wrong as a file that is too long. */
function longFiles(files: readonly SourceText[], allowances: readonly Allowance[]): string[] {
  const long = files.filter(({ text }) => linesOf(text) > FILE_LINES);
  const allowed = allowances.map(({ path }) => path);
  return [
    ...long.filter(({ path }) => !allowed.includes(path)).map(({ path, text }) => `${path}: ${linesOf(text)} lines`),
    ...allowed.filter((path) => !long.some((file) => file.path === path)).map((path) => `${path}: needs no allowance`),
  ];
}

test(`no file is longer than ${FILE_LINES} lines`, () => {
  const files = [...readSources('src'), ...repositoryPaths('native').map(readSource)];
  expect(files.length).toBeGreaterThan(100);
  expect(longFiles(files, LONG_FILES)).toEqual([]);
});

test('that rule finds a file one line too long, and an allowance that is no longer needed', () => {
  const file = (path: string, lines: number): SourceText => ({ path, text: 'x\n'.repeat(lines) });
  const files = [file('full.ts', FILE_LINES), file('long.ts', FILE_LINES + 1), file('table.ts', 900), file('cut.ts', 10)];
  const allowances = ['table.ts', 'cut.ts', 'gone.ts'].map((path) => ({ path, reason: 'a table' }));
  expect(longFiles(files, allowances)).toEqual(['long.ts: 251 lines', 'cut.ts: needs no allowance', 'gone.ts: needs no allowance']);
});

const FUNCTIONS = ['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'];

/** The name of a function: its own, or that of the variable, field or method that holds it. */
function nameOf(node: Node, parent: Node): string {
  const named = [node.id, parent.id, parent.key].find((id) => typeof id === 'object' && id !== null && 'name' in id);
  return typeof named === 'object' && named !== null && 'name' in named ? String(named.name) : 'a function without a name';
}

/** Functions of all kinds, from the line of the signature to that of the closing brace; what is in a function counts with it. */
function longFunctions(modules: readonly Module[]): string[] {
  return modules.flatMap(({ path, text, nodes }) =>
    nodes.flatMap(({ node, parent }) => {
      if (!FUNCTIONS.includes(node.type)) return [];
      const isMethod = parent.type === 'MethodDefinition' || parent.method === true || parent.kind === 'get' || parent.kind === 'set';
      const { start } = isMethod ? parent : node;
      const lines = linesOf(text.slice(start, node.end));
      return lines > FUNCTION_LINES ? [`${path}:${lineOf(text, start)} ${nameOf(node, parent)}: ${lines} lines`] : [];
    }),
  );
}

test(`no function is longer than ${FUNCTION_LINES} lines`, () => {
  expect(longFunctions(readSources('src').map(parse))).toEqual([]);
});

test('that rule finds functions of every form, and counts from the signature to the closing brace', () => {
  const body = (lines: number): string => `${'  step();\n'.repeat(lines - 2)}}`;
  const forms = [
    ['declared', 'function declared() {'],
    ['exported', 'export async function exported() {'],
    ['generator', 'export async function* generator() {'],
    ['arrow', 'export const arrow = async (a: number): Promise<void> => {'],
    ['expression', 'const expression = function () {'],
    ['a function without a name', 'call(() => {', ')'],
    ['method', 'class A { method() {', '}'],
    ['getter', 'const a = { get getter() {', '}'],
    ['short', 'const b = { async *short() {', '}'],
    ['field', 'class B { field = () => {', '}'],
  ].map(([name = '', signature = '', end = '']) => ({ name, textOf: (lines: number) => `// }\n${signature}\n${body(lines)}${end}\n` }));
  for (const { name, textOf } of forms) {
    const found = (lines: number) => longFunctions([parse({ path: 'a.ts', text: textOf(lines) })]);
    expect(found(FUNCTION_LINES)).toEqual([]);
    expect(found(FUNCTION_LINES + 1)).toEqual([`a.ts:2 ${name}: 71 lines`]);
  }
  const signature = `function wide(\n${'  a,\n'.repeat(70)}) {}`;
  expect(longFunctions([parse({ path: 'a.ts', text: signature })])).toEqual(['a.ts:1 wide: 72 lines']);
});
