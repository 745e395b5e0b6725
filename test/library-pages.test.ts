/**
 * docs/api.md and docs/blocks.md against the source: every export is on its page, and every field of an exported interface is on one of
 * them. A table whose first column is headed by the name of a type lists exactly the fields that the type adds to those it extends.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type Module, type Node, parse, readSource, readSources } from './support/sources.ts';

const read = (page: string): string => readFileSync(fileURLToPath(new URL(`../${page}`, import.meta.url)), 'utf8');

/** Their fields are those of the JSON. The page has to link to its tables, which docs.test.ts compares with what is printed. */
const RESULTS = [
  ['ImageInfo', 'DiskInfo', 'LayerInfo'],
  ['CheckResult', 'CheckedDisk', 'Finding'],
  ['WriteResult', 'VerifyResult', 'ImportResult'],
  ['ReapResult', 'LeftOver', 'LeftOverVbd'],
  ['DiskDryRun', 'WriteDryRun', 'ImportDryRun', 'ImportDisksDryRun', 'ListedDisk', 'SrDryRun', 'DeviceDryRun'],
  ['Progress', 'Warning'],
].flat();

interface Field {
  readonly name: string;
  /** As written, without `readonly` and `undefined`; undefined for a method. */
  readonly type: string | undefined;
}

interface Shape {
  readonly fields: readonly Field[];
  readonly bases: readonly string[];
}

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && 'type' in value && 'start' in value;
const nodesIn = (value: unknown): Node[] => [value].flat().filter(isNode);
const nameOf = (node: unknown): string => (isNode(node) && typeof node.name === 'string' ? node.name : '');

const plainType = (type: string): string =>
  type
    .replaceAll(/\breadonly /g, '')
    .replace(/ \| undefined$/, '')
    .replace(/^Readonly<(.*)>$/, '$1')
    .replace(/^\((.*)\)$/, '$1');

/** The interfaces and classes of a module. A constructor is no field, and neither is what a class overrides. */
function shapesOf({ text, nodes }: Module): Array<[string, Shape]> {
  const declarations = nodes.map(({ node }) => node).filter(({ type }) => type === 'TSInterfaceDeclaration' || type === 'ClassDeclaration');
  return declarations.map(({ id, extends: bases, body }) => {
    const members = nodesIn(nodesIn(body)[0]?.body).filter(({ kind, override }) => kind !== 'constructor' && override !== true);
    const fields = members.map((member): Field => {
      const annotation = nodesIn(nodesIn(member.typeAnnotation)[0]?.typeAnnotation)[0];
      return { name: nameOf(member.key), type: annotation && plainType(text.slice(annotation.start, annotation.end)) };
    });
    return [nameOf(id), { fields, bases: nodesIn(bases).map(({ expression }) => nameOf(expression)) }];
  });
}

/** What a page has: its tables by the type that heads them, its paragraphs, and the names in its code spans. */
interface Page {
  readonly name: string;
  readonly tables: ReadonlyMap<string, ReadonlyArray<{ readonly name: string; readonly type: string | undefined }>>;
  readonly paragraphs: ReadonlyArray<{ readonly text: string; readonly names: ReadonlySet<string> }>;
  readonly calls: readonly string[];
}

function pageOf(name: string, content: string): Page {
  const prose = content.replaceAll(/^```.*?^```$/gms, '');
  const paragraphs = prose.split(/\n\n+/).map((text) => {
    const spans = [...text.matchAll(/`([^`]+)`/g)].map(([, span = '']) => span);
    return { text, names: new Set(spans.flatMap((span) => span.match(/\w+/g) ?? [])) };
  });
  const tables = paragraphs.flatMap(({ text }) => {
    const [head = '', , ...rows] = text.split('\n').map((row) => row.split(/(?<!\\)\|/).map((cell) => cell.trim()));
    const type = /^`(\w+)`$/.exec(head[1] ?? '')?.[1];
    if (type === undefined) return [];
    const typed = head[2] === 'Type';
    return [[type, rows.map(([, first = '', second]) => fieldOf(first, typed ? second : undefined))] as const];
  });
  const calls = [...prose.matchAll(/^#+ ([a-z]\w*)$/gm)].map(([, title = '']) => title);
  return { name, tables: new Map(tables), paragraphs, calls };
}

const fieldOf = (first: string, second: string | undefined): Field => ({
  name: /^`(\w+)/.exec(first)?.[1] ?? first,
  type: /^`(.*)`$/.exec(second ?? '')?.[1]?.replaceAll('\\|', '|'),
});

/** Everything in which the pages and the source differ. `entries` are the exports of the package by the page that describes them. */
function differences(modules: readonly Module[], entries: ReadonlyMap<Page, readonly string[]>): string[] {
  const pages = [...entries.keys()];
  const open = new Set([...entries.values()].flat());
  const shapes = new Map(modules.flatMap(shapesOf));
  const added = (type: string): readonly Field[] => {
    const { fields, bases } = shapes.get(type) ?? { fields: [], bases: [] };
    return [...bases.filter((base) => !open.has(base)).flatMap(added), ...fields];
  };
  const sorted = (fields: readonly Field[]): string => [...new Set(fields.map(({ name }) => name))].sort().join(', ');
  const paragraphs = pages.flatMap((page) => page.paragraphs);
  const isInProse = (type: string): boolean =>
    paragraphs.some(({ names }) => names.has(type) && added(type).every(({ name }) => names.has(name)));
  const isLinked = (type: string): boolean => paragraphs.some(({ text, names }) => names.has(type) && /\]\(cli\/\w+\.md#/.test(text));
  const isDescribed = (type: string): boolean => (RESULTS.includes(type) ? isLinked(type) : isInProse(type));
  const inTables = new Set(pages.flatMap(({ tables }) => [...tables.keys()]));

  return [
    ...[...entries].flatMap(([page, names]) => {
      const mentioned = new Set(page.paragraphs.flatMap((paragraph) => [...paragraph.names]));
      return names.filter((name) => !mentioned.has(name)).map((name) => `${page.name} lacks ${name}`);
    }),
    ...pages.flatMap(({ name, calls }) => calls.filter((call) => !open.has(call)).map((call) => `${name} has ${call}, which is no export`)),
    ...pages.flatMap(({ name, tables }) =>
      [...tables].flatMap(([type, rows]) => {
        if (!open.has(type)) return [`${name} has a table of ${type}, which is no export`];
        const fields = added(type);
        if (sorted(rows) !== sorted(fields)) return [`${type} has ${sorted(fields)}; its table in ${name} has ${sorted(rows)}`];
        return rows
          .filter((row) => row.type !== undefined && fields.every((field) => field.name !== row.name || differ(field, row)))
          .map((row) => `${type}.${row.name} is no ${row.type}`);
      }),
    ),
    ...[...open]
      .filter((type) => shapes.has(type) && !inTables.has(type) && !isDescribed(type))
      .map((type) => `no table and no paragraph has all fields of ${type}: ${sorted(added(type))}`),
  ];
}

/** A getter has no type here, and a type that is not exported is spelled out on the page: the types of examples are checked by docs.test.ts. */
const differ = (field: Field, row: Field): boolean =>
  field.type !== undefined && !PRIVATE.test(field.type) && field.type !== row.type?.replace(/ \| undefined$/, '');

const PRIVATE = /^HeaderFields$/;

const house = readSources('src').map(parse);
const exportsOf = (path: string): readonly string[] => [...new Set(parse(readSource(path)).exports)];

test('docs/api.md and docs/blocks.md have all exports, all fields, their types, and no others', () => {
  const entries = new Map([
    [pageOf('docs/api.md', read('docs/api.md')), exportsOf('src/index.ts')],
    [pageOf('docs/blocks.md', read('docs/blocks.md')), exportsOf('src/blocks.ts')],
  ]);
  for (const names of entries.values()) expect(names.length).toBeGreaterThan(40);
  for (const { tables } of entries.keys()) expect(tables.size).toBeGreaterThan(8);
  expect(differences(house, entries)).toEqual([]);
});

describe('that rule', () => {
  const source = `
    interface Base { readonly inner?: string | undefined }
    export interface Options extends Base { readonly a?: readonly string[] | undefined; readonly b: number; go(x: number): void }
    export interface More extends Options { readonly c: boolean }
    export class Failure extends Error { override readonly name = 'Failure'; code: string; constructor() { super() } get d() { return 1 } }
    export function call() {}`;
  const modules = [parse({ path: 'src/a.ts', text: source })];
  const all = ['Options', 'More', 'Failure', 'call'];
  const good = [
    '# Page',
    '## call',
    '`call(options)` gets `Options`. `Failure` has `code` and `d`.',
    ['| `Options` | Type | Meaning |', '| --- | --- | --- |', '| `inner` | `string` | x |', '| `a` | `string[]` | x |'].join('\n'),
    '`More` has `c`, too.',
  ].join('\n\n');
  const full = good.replace('| `a` |', '| `b` | `number` | x |\n| `go(x)` | function | x |\n| `a` |');
  const differencesOf = (text: string): string[] => differences(modules, new Map([[pageOf('page', text), all]]));

  test('accepts a page with every export and field, in tables or in sentences', () => {
    expect(differencesOf(full)).toEqual([]);
  });

  test('sees a field that a table lacks, one too many, and a wrong type', () => {
    expect(differencesOf(good)).toEqual(['Options has a, b, go, inner; its table in page has a, inner']);
    const excess = full.replace('| `a` |', '| `z` | `number` | x |\n| `a` |');
    expect(differencesOf(excess)).toEqual(['Options has a, b, go, inner; its table in page has a, b, go, inner, z']);
    expect(differencesOf(full.replace('`number`', '`string`'))).toEqual(['Options.b is no string']);
  });

  test('sees exports that a page lacks, and calls and types that are no exports', () => {
    expect(differencesOf(full.replace('`More` has `c`, too.', ''))).toEqual([
      'page lacks More',
      'no table and no paragraph has all fields of More: c',
    ]);
    expect(differencesOf(`${full}\n\n## gone`)).toEqual(['page has gone, which is no export']);
    expect(differencesOf(`${full}\n\n| \`Gone\` | Meaning |\n| --- | --- |\n| \`a\` | x |`)).toEqual([
      'page has a table of Gone, which is no export',
    ]);
  });

  test('sees a field that a sentence lacks', () => {
    expect(differencesOf(full.replace('`code` and `d`', '`code`'))).toEqual([
      'no table and no paragraph has all fields of Failure: code, d',
    ]);
  });
});
