/**
 * The documentation is a test. In README.md, docs/ and bench/README.md
 * - a `sh` block is run by bash, in a folder that holds the images the pages speak of, with `vdistream` on the PATH;
 * - a `js` or `ts` block is type-checked, then run;
 * - `console` and `text` blocks only show something.
 * The blocks of a page share a folder and run in their order. What cannot run here is listed in NOT_RUN, with the reason.
 */

import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { errorsPage } from '../scripts/make-docs.mjs';
import { ERRORS, WARNINGS } from '../src/errors.ts';
import { type Progress, writeDisk } from '../src/index.ts';
import { dynamicVhd } from './support/make-vhd.mjs';
import { TAR_END, tarMember, tarOf } from './support/tar.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const read = (page: string): string => readFileSync(join(root, page), 'utf8');
const markdown = (folder: string): string[] => readdirSync(join(root, folder)).filter((name) => name.endsWith('.md'));

const NOT_RUN: ReadonlyArray<{ readonly text: string; readonly reason: string }> = [
  { text: 'npm ci && npm run demo\nnpm ci && npm test\n', reason: 'builds the checkout that this test stands in; CI runs each line' },
  {
    text: [
      'npm run demo                          # a first impression: no root, 15 seconds',
      'sudo npm run bench                    # 15 minutes and 8 GiB of disk the first time, 10 minutes then',
      'sudo npm run bench -- --quick         # all of it once on small images, under a minute; too small to judge by',
      'sudo npm run bench -- --only tuned    # some rows; --help has the other options',
      '',
    ].join('\n'),
    reason: 'takes minutes; CI runs the demo and the quick bench',
  },
];

const PAGES = ['README.md', 'bench/README.md', ...markdown('docs').map((name) => `docs/${name}`)].filter((page) =>
  existsSync(join(root, page)),
);

interface Block {
  readonly page: string;
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

function blocksOf(page: string): Block[] {
  const text = read(page);
  return [...text.matchAll(/^```(\S*)[^\n]*\n(.*?)^```$/gms)].map(({ index, 1: language = '', 2: body = '' }) => ({
    page,
    line: text.slice(0, index).split('\n').length,
    language,
    text: body,
  }));
}

const BLOCKS = PAGES.flatMap(blocksOf);
const isListed = (block: Block): boolean => NOT_RUN.some(({ text }) => text === block.text);
const isCode = ({ language }: Block): boolean => language === 'js' || language === 'ts';
const fileOf = ({ line, language }: Block): string => `block-${line}.m${language}`;

/** A folder with what the pages name: images, a device in $DEV, the program and the package. */
function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'vdistream-docs-'));
  const vhd = dynamicVhd({
    size: 8 << 20,
    blocks: new Map([
      [1, Buffer.alloc(2 << 20, 'data')],
      [3, Buffer.alloc(5000, 'more')],
    ]),
  });
  const leaf = dynamicVhd({
    size: 12 << 20,
    type: 4,
    id: 8,
    parent: { id: 7, timestamp: 0, name: 'image.vhd' },
    blocks: new Map([
      [1, Buffer.alloc(2 << 20, 'leaf')],
      [5, Buffer.alloc(5000, 'new')],
    ]),
  });
  const tar = Buffer.concat([tarMember({ name: 'image.ovf' }, Buffer.from('<Envelope/>')), tarMember({ name: '0.vhd' }, vhd)]);
  const files = {
    'image.vhd': vhd,
    'leaf.vhd': leaf,
    'chain.ova': tarOf([
      ['1.vhd', vhd],
      ['0.vhd', leaf],
    ]),
    'image.ova': Buffer.concat([tar, TAR_END]),
    'image.tar.gz': gzipSync(Buffer.concat([tar, TAR_END])),
    'unended.ova': tar,
    device: Buffer.alloc(16 << 20, 0xee),
    'package.json': '{ "type": "module" }',
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  for (const name of ['bin', 'tmp', 'node_modules']) mkdirSync(join(folder, name));
  symlinkSync(root, join(folder, 'node_modules', 'vdistream'));
  const program = `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'dist/cli/main.js')}' "$@"\n`;
  writeFileSync(join(folder, 'bin', 'vdistream'), program, { mode: 0o755 });
  return folder;
}

const remove = (folder: string): void => rmSync(folder, { recursive: true, force: true });

/** Rejects with the output of a program that fails. */
async function inFolder(folder: string, program: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    PATH: `${join(folder, 'bin')}:${dirname(process.execPath)}:${process.env.PATH}`,
    TMPDIR: join(folder, 'tmp'),
    DEV: join(folder, 'device'),
  };
  try {
    return await run(program, args, { cwd: folder, env });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const { stdout = '', stderr = '' } = error as Error & { stdout?: string; stderr?: string };
    throw new Error(`${error.message}\n${stdout}${stderr}`);
  }
}

const shell = (folder: string, text: string) => inFolder(folder, 'bash', '-euo', 'pipefail', '-c', text);

function hasJq(): boolean {
  try {
    return execFileSync('jq', ['--version']).length > 0;
  } catch {
    if (process.env.CI === 'true') throw new Error('in CI nothing is skipped, but jq is not there');
    return false;
  }
}

async function runCode(folder: string, block: Block): Promise<void> {
  const bundle = await rolldown({ input: join(folder, fileOf(block)), external: /^[^./]/, platform: 'node' });
  const { output } = await bundle.generate({ format: 'esm' });
  await bundle.close();
  const file = `run-${block.line}.mjs`;
  writeFileSync(join(folder, file), output[0].code);
  await inFolder(folder, process.execPath, file);
}

describe.each(PAGES)('%s', (page) => {
  let folder = '';
  beforeAll(() => {
    folder = makeFolder();
  });
  afterAll(() => remove(folder));

  const blocks = BLOCKS.filter((block) => block.page === page);
  const code = blocks.filter(isCode);

  if (code.length > 0) {
    test('its js and ts blocks have no type error', async () => {
      for (const block of code) writeFileSync(join(folder, fileOf(block)), block.text);
      const { compilerOptions } = JSON.parse(read('tsconfig.json'));
      const options = { ...compilerOptions, typeRoots: [join(root, 'node_modules/@types')], noEmit: true };
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: code.map(fileOf) }));
      await inFolder(folder, process.execPath, join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json');
    });
  }

  for (const block of blocks.filter((block) => !isListed(block))) {
    if (isCode(block)) test(`the ${block.language} block of line ${block.line} runs`, () => runCode(folder, block));
    if (block.language !== 'sh') continue;
    test(`the sh block of line ${block.line} runs`, async ({ skip }) => {
      if (/\bjq\b/.test(block.text) && !hasJq()) skip('needs jq');
      await shell(folder, block.text);
    });
  }

  test('each of its links leads somewhere', () => {
    const slugs = (text: string): string[] =>
      [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replaceAll(/[^\w\s-]/g, '')
          .replaceAll(' ', '-'),
      );
    const broken = [...read(page).matchAll(/\]\((?!\w+:)([^)#]*)(?:#([^)]+))?\)/g)].filter(([, path = '', anchor]) => {
      const file = path === '' ? page : join(dirname(page), path);
      if (!existsSync(join(root, file))) return true;
      return anchor !== undefined && !slugs(read(file)).includes(anchor);
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });
});

test('every block says what it is', () => {
  const known = ['sh', 'js', 'ts', 'console', 'text'];
  const other = BLOCKS.filter(({ language, text }) => !known.includes(language) && !(language === '' && text.includes('──▶')));
  expect(other.map(({ page, line, language }) => `${page}:${line} ${language}`)).toEqual([]);
});

test('every block that is listed as not run is still there', () => {
  const gone = NOT_RUN.filter(({ text }) => !BLOCKS.some((block) => block.text === text));
  expect(gone).toEqual([]);
});

test('docs/errors.md is what `npm run docs` makes of the tables', () => {
  expect(read('docs/errors.md')).toBe(errorsPage({ ERRORS, WARNINGS }));
});

describe('docs/cli.md', () => {
  const page = read('docs/cli.md');
  const section = (title: string): string => page.split(/^#+ /m).find((text) => text.startsWith(`${title}\n`)) ?? '';
  /** The first cells of the tables of a section, sorted. */
  const fields = (title: string): string[] => [...section(title).matchAll(/^\| `(\w+)`/gm)].map(([, name = '']) => name).sort();

  let folder = '';
  beforeAll(() => {
    folder = makeFolder();
  });
  afterAll(() => remove(folder));

  async function json(text: string): Promise<Record<string, object>> {
    const { stdout } = await shell(folder, text);
    return JSON.parse(stdout);
  }
  const keys = (value: object | undefined): string[] => Object.keys(value ?? {}).sort();

  test('lists every field of each result, and no other', async () => {
    const { disks, ...image } = await json('vdistream info image.ova --json');
    const [disk] = disks as unknown as object[];
    expect(fields('Result of info')).toEqual(['disks', ...keys(image), ...keys(disk)].sort());
    expect(fields('Result of write')).toEqual(keys(await json('vdistream write image.ova a.raw --json')));
    expect(fields('Result of verify')).toEqual(keys(await json('vdistream verify image.ova a.raw --json')));
  });

  test('lists every field of the result of a check, and no other', async () => {
    const { disks, ...result } = await json('vdistream check image.ova --json');
    const [disk] = disks as unknown as object[];
    expect(fields('Result of check')).toEqual(['disks', ...keys(result), ...keys(disk)].sort());
    const { findings } = await json('head -c 10000 image.ova > cut.ova; vdistream check cut.ova --json || true');
    const [finding] = findings as unknown as object[];
    expect(fields('Finding')).toEqual(keys(finding));
  });

  test('lists every field of a progress line, and no other', async () => {
    // The line itself is tested with a clock in reporter.test.ts: what the library tells, and the seconds.
    const told: Progress[] = [];
    await writeDisk(join(folder, 'image.ova'), 'null:', { onProgress: (progress) => told.push(progress) });
    expect(fields('Progress')).toEqual([...keys(told[0] ?? {}), 'seconds'].sort());
  });

  test('lists every field of a warning and of an error', async () => {
    const { warning } = await json('vdistream info unended.ova --json 2>&1 >result.json');
    for (const key of keys(warning)) expect(fields('Warning')).toContain(key);
    const { error: refused } = await json('vdistream write image.ova /dev/null --json 2>&1 || true');
    const { error: failed } = await json('vdistream info missing.ova --json 2>&1 || true');
    for (const key of [...keys(refused), ...keys(failed)]) expect(fields('Error')).toContain(key);
  });

  test.each(['info', 'check', 'write', 'verify'])('lists the options of %s that --help lists, and no other', async (command) => {
    const { stdout: help } = await shell(folder, `vdistream ${command} --help`);
    const rows = [...section(command).matchAll(/^\| `.*?` +\|/gm)].join('\n');
    const options = (text: string): string[] => [...new Set(text.match(/--[a-z][a-z0-9-]*/g))].sort();
    const described = help.split('\n').filter((line) => /^ {2}(-q, )?--/.test(line));
    expect(options(rows)).toEqual(options(described.map((line) => line.slice(0, 18)).join('\n')));
  });
});
