/** Source files as the rules of the house see them: parsed, with their imports, exports and comments. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'rolldown/utils';

/** A file by its path from the root of the repository, such as `src/vhd/footer.ts`. */
export interface SourceText {
  readonly path: string;
  readonly text: string;
}

export interface Module extends SourceText {
  readonly imports: readonly Import[];
  readonly exports: readonly string[];
  /** What the file declares at its top level, exported or not. Two declarations that TypeScript merges are one. */
  readonly declared: readonly string[];
  readonly comments: readonly string[];
  /** Each node of the syntax tree with the node it is in; the program comes first. */
  readonly nodes: ReadonlyArray<{ readonly node: Node; readonly parent: Node }>;
}

/** An import of whatever form: `import type`, `export … from`, `import()` and the type `import('…').Name` are imports too. */
export interface Import {
  /** As written: `node:fs`, or a path from the folder of the file. */
  readonly specifier: string;
  /** The path of a file of the repository; undefined for a package or a module of Node. */
  readonly path: string | undefined;
  /** The exports that are used, by the names they have there; `*` where any may be. */
  readonly names: readonly string[];
}

/** A node of ESTree. Offsets are in UTF-16 units of the text. */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Not kept in the repository: what is installed and what is built. */
const UNKEPT = ['node_modules', 'build', 'dist', 'prebuilds', '.git', 'bench/results'];

/** The paths of all files of the repository, or of those in a folder. */
export function repositoryPaths(folder = ''): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (UNKEPT.includes(path)) return [];
    return entry.isDirectory() ? repositoryPaths(path) : [path];
  });
}

export const readSource = (path: string): SourceText => ({ path, text: readFileSync(join(root, path), 'utf8') });

/** The TypeScript and JavaScript of a folder, or of several. */
export const readSources = (...folders: readonly string[]): SourceText[] =>
  folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => repositoryPaths(folder))
    .filter((path) => /\.(?:ts|mjs)$/.test(path))
    .map(readSource);

/** Throws for a file that is no TypeScript, so that no rule passes by seeing nothing. */
export function parse({ path, text }: SourceText): Module {
  const { program, comments, module, errors } = parseSync(path, text);
  if (errors[0] !== undefined) throw new Error(`${path}: ${errors[0].message}`);
  const written = comments.map(({ value }) => value);
  const nodes = isNode(program) ? [...walk(program, program)] : [];
  const exported = module.staticExports.flatMap(({ entries }) => entries);
  const { staticImports } = module;
  const imports = [
    ...staticImports.map(({ moduleRequest, entries }) => ({
      specifier: moduleRequest.value,
      names: entries.map(({ importName }) => importName.name ?? (importName.kind === 'Default' ? 'default' : '*')),
    })),
    ...exported.flatMap(({ moduleRequest, importName }) =>
      moduleRequest ? [{ specifier: moduleRequest.value, names: [importName.name ?? '*'] }] : [],
    ),
    ...nodes.flatMap(({ node }) => (/^(?:ImportExpression|TSImportType)$/.test(node.type) ? importOf(node) : [])),
    ...(path.endsWith('.mjs') ? written.flatMap(importsOfTypes) : []),
  ];
  return {
    path,
    text,
    imports: imports.map(({ specifier, names }) => ({ specifier, names, path: resolve(path, specifier) })),
    exports: exported.map(({ exportName }) => exportName.name ?? (exportName.kind === 'Default' ? 'default' : '*')),
    declared: [...new Set(fieldNodes(nodes[0]?.node, 'body').flatMap(namesOf))],
    comments: written,
    nodes,
  };
}

/** The modules of a tree that a test of a rule makes up: texts by their paths. */
export const madeUp = (files: Readonly<Record<string, string>>): Module[] =>
  Object.entries(files).map(([path, text]) => parse({ path, text }));

/** The line of an offset, counted from 1. */
export const lineOf = (text: string, offset: number): number => text.slice(0, offset).split('\n').length;

/** What is built from a file counts as the file: tests and benches run `dist/`, examples import the package by its name. */
function resolve(from: string, specifier: string): string | undefined {
  if (specifier === 'vdistream') return 'src/index.ts';
  if (!specifier.startsWith('.')) return undefined;
  return posix.join(posix.dirname(from), specifier).replace(/^dist\/(.*)\.js$/, 'src/$1.ts');
}

/** `import('…')` as an expression may use any export; as a type it names one, but for `typeof import('…')`. */
function importOf(node: Node): Array<{ specifier: string; names: string[] }> {
  const { source, qualifier } = node;
  if (!isNode(source) || typeof source.value !== 'string') return [];
  const name = isNode(qualifier) && typeof qualifier.name === 'string' ? qualifier.name : '*';
  return [{ specifier: source.value, names: [name] }];
}

/** JavaScript names types in comments; `tsc` checks those too. */
const importsOfTypes = (comment: string): Array<{ specifier: string; names: string[] }> =>
  [...comment.matchAll(/\bimport\('([^']+)'\)(?:\.(\w+))?/g)].map(([, specifier = '', name = '*']) => ({ specifier, names: [name] }));

/** The names that a statement declares. */
function namesOf(statement: Node): string[] {
  const { declaration, declarations, id } = statement;
  if (isNode(declaration)) return namesOf(declaration);
  if (Array.isArray(declarations)) return declarations.filter(isNode).flatMap(({ id }) => bound(id));
  return bound(id);
}

/** The names that a pattern binds: `a`, `{ a, b: c }`, `[a, ...b]`. */
function bound(pattern: unknown): string[] {
  if (!isNode(pattern)) return [];
  if (pattern.type === 'Identifier') return typeof pattern.name === 'string' ? [pattern.name] : [];
  if (pattern.type === 'AssignmentPattern') return bound(pattern.left);
  return [
    ...fieldNodes(pattern, 'properties').flatMap((property) => bound(property.value ?? property.argument)),
    ...fieldNodes(pattern, 'elements').flatMap((element) => bound(element.argument ?? element)),
  ];
}

const fieldNodes = (node: Node | undefined, field: string): Node[] => [node?.[field]].flat().filter(isNode);

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string' && 'start' in value;

function* walk(node: Node, parent: Node): Generator<{ node: Node; parent: Node }> {
  yield { node, parent };
  for (const child of Object.values(node).flat()) if (isNode(child)) yield* walk(child, node);
}
