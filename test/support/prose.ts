/** The sentences that a person reads: help, documents, messages and the titles of tests. */

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ERRORS } from '../../src/errors.ts';
import { WARNINGS } from '../../src/warnings.ts';
import { lineOf, type Node, parse, readSource, readSources, repositoryPaths, type SourceText } from './sources.ts';

export interface Prose {
  /** Where it can be found: a file and its line, a page of the help, or a row of a table. */
  readonly place: string;
  readonly text: string;
}

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const print = (...args: readonly string[]): string => execFileSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });

/** The main page, and each page that it leads to: the commands in its list, and the topics of `vdistream help TOPIC`. */
export function helpPages(): Prose[] {
  const main = print('--help');
  const namesIn = (pattern: RegExp): string[] => [...new Set([...main.matchAll(pattern)].map(([, name = '']) => name))];
  const commands = namesIn(/^ {2}(?!vdistream )([a-z][a-z-]*) /gm);
  const topics = namesIn(/\bvdistream help ([a-z]+)/g);
  return [
    { place: '--help', text: main },
    ...commands.map((name) => ({ place: `${name} --help`, text: print(name, '--help') })),
    ...topics.map((name) => ({ place: `help ${name}`, text: print('help', name) })),
  ];
}

/** All Markdown at the root, in docs/ and in bench/. */
export const documents = (): Prose[] =>
  repositoryPaths()
    .filter((path) => /^(?:docs\/.*|bench\/README|[^/]+)\.md$/.test(path))
    .flatMap((path) => paragraphsOf(readSource(path)));

/** Meaning and advice of each row of the two tables. */
export const tables = (): Prose[] => [
  ...Object.entries(ERRORS).flatMap(([code, kind]) => [
    { place: `${code} (meaning)`, text: kind.meaning },
    { place: `${code} (advice)`, text: kind.advice },
    ...('cli' in kind ? [{ place: `${code} (advice on the command line)`, text: kind.cli }] : []),
  ]),
  ...Object.entries(WARNINGS).map(([code, { meaning }]) => ({ place: `warning ${code}`, text: meaning })),
];

/** The messages of all errors that are made in src: each string in the arguments of `new VdiStreamError(…)`. */
export const errorMessages = (files: readonly SourceText[] = readSources('src')): Prose[] =>
  files.flatMap((file) =>
    parse(file).nodes.flatMap(({ node }) => {
      const { callee } = node;
      const isError = node.type === 'NewExpression' && isNode(callee) && callee.name === 'VdiStreamError';
      return isError ? nodesOf(node.arguments).flatMap((argument) => strings(argument, file)) : [];
    }),
  );

/** The titles of tests and of groups of tests, with what `each` puts into them where its rows are written out. */
export const titles = (files: readonly SourceText[] = readSources('test', 'fuzz')): Prose[] =>
  files
    .filter(({ path }) => path.endsWith('.test.ts'))
    .flatMap((file) =>
      parse(file).nodes.flatMap(({ node }) => {
        const [title] = nodesOf(node.arguments);
        if (node.type !== 'CallExpression' || !isTest(node.callee) || title === undefined) return [];
        const own = strings(title, file);
        const places = own.map(({ text }) => text.match(/%[a-z]/g)?.length ?? 0).reduce((sum, count) => sum + count, 0);
        return [...own, ...firstOfRows(node.callee, places).flatMap((value) => strings(value, file))];
      }),
    );

const TESTS = /^(?:test|describe|programTest|plainTest|testWith)$/;
const TITLE_FOLLOWS = /^(?:each|skipIf|runIf|testWith)$/;

/** `test`, `test.skip`, `test.each(rows)`, `testWith('loop')`, `testWith('loop').each(rows)`; not `test.each`, whose argument is no title. */
const isTest = (callee: unknown): boolean => TESTS.test(rootOf(callee)) && !TITLE_FOLLOWS.test(lastOf(callee));

/** The name at the left end of `test.each(rows)`. */
const rootOf = (node: unknown): string => (isNode(node) ? nameOf(node) || rootOf(node.object) || rootOf(node.callee) : '');

/** The name at the right end of `test.each`; none for a call. */
const lastOf = (node: unknown): string => (isNode(node) ? nameOf(node) || lastOf(node.property) : '');

const nameOf = ({ name }: Node): string => (typeof name === 'string' ? name : '');

/** The values that the first placeholders of a title stand for, in each row of `each([[…], […]])` or `each([…])`. */
function firstOfRows(callee: unknown, places: number): Node[] {
  if (!isNode(callee) || callee.type !== 'CallExpression' || places === 0) return [];
  const [rows] = nodesOf(callee.arguments);
  return nodesOf(rows?.elements).flatMap((row) => (row.type === 'ArrayExpression' ? nodesOf(row.elements).slice(0, places) : [row]));
}

/** A phrase may be spread over two lines, but not over two paragraphs. */
function paragraphsOf({ path, text }: SourceText): Prose[] {
  const found = text.matchAll(/(?:.+\n?)+/g);
  return [...found].map(({ 0: paragraph, index }) => ({ place: `${path}:${lineOf(text, index)}`, text: paragraph }));
}

/** Each string in a node, and each part of a template that is text. */
function strings(node: Node, file: SourceText): Prose[] {
  const place = `${file.path}:${lineOf(file.text, node.start)}`;
  if (typeof node.value === 'string') return [{ place, text: node.value }];
  if (node.type === 'TemplateElement') return [{ place, text: file.text.slice(node.start, node.end).replace(/^[`}]|(?:`|\$\{)$/g, '') }];
  return Object.values(node).flatMap((child) => nodesOf(child).flatMap((inner) => strings(inner, file)));
}

const nodesOf = (value: unknown): Node[] => [value].flat().filter(isNode);

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && 'type' in value && 'start' in value;
