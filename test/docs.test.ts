/**
 * The documentation is a test. In the pages of the root, docs/ and bench/README.md
 * - a `sh` block is run by bash, with what a reader has (support/reader.ts);
 * - a `js` or `ts` block is type-checked, then run;
 * - `console` and `text` blocks only show something.
 * The blocks of a page share a folder and run in their order. What cannot run here is listed in NOT_RUN, with the reason.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generatedFiles } from '../scripts/make-docs.mjs';
import { VdiStreamError } from '../src/errors.ts';
import { type Progress, writeDisk } from '../src/index.ts';
import { createRecords } from '../src/xen/record.ts';
import { assertClean } from './stand-in/clean.ts';
import { testWith } from './support/needs.ts';
import { withoutProgress } from './support/progress.ts';
import { newReader, type Reader } from './support/reader.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (page: string): string => readFileSync(join(root, page), 'utf8');
const markdown = (folder: string): string[] =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);

const NOT_RUN: ReadonlyArray<{ readonly text: string; readonly reason: string }> = [
  { text: 'npm ci && npm run demo\nnpm ci && npm test\n', reason: 'builds the checkout that this test stands in; CI runs each line' },
  { text: 'npm run samples && cd samples\n', reason: 'runs in a checkout; tour.test.ts runs the whole tour there' },
  {
    text: [
      'npm run demo                          # a first impression: no root, 15 seconds',
      'sudo npm run bench                    # 15 minutes and 8 GiB of disk the first time, 10 minutes then',
      'sudo npm run bench -- --quick         # all of it once on small images: 1 minute, 2.5 on a busy machine; too small to judge by',
      'sudo npm run bench -- --only tuned    # some rows; --help has the other options',
      'sudo npm run bench -- --growth        # how the cost grows with the data, the blocks, the layers and so on',
      'npm run bench -- --report             # a page and charts of the latest results',
      '',
    ].join('\n'),
    reason: 'takes minutes; CI runs the demo and the quick bench',
  },
  {
    text: [
      'npm ci',
      'npm run build:ts        # after a change in src/',
      'npm run build:native    # after a change in native/',
      'npm link                # optional: puts vdistream on the PATH',
      '',
    ].join('\n'),
    reason: 'builds the checkout that this test runs in; CI runs npm ci, which builds everything',
  },
  {
    text: [
      'npm run check                                        # formatter, linter, types, generated docs, house rules: before each commit',
      'npm test                                             # all tests',
      'npx vitest run test/vhd/decode-footers.test.ts       # one file',
      "npx vitest run test/vhd -t 'footer'                  # the tests of a folder with this text in their titles",
      'sudo env "PATH=$PATH" npx vitest run test/xen        # with the tests that need root',
      'FUZZ_SECONDS=600 npx vitest run fuzz/image.test.ts   # a longer fuzzing campaign; FUZZ_SEED repeats one',
      'VDISTREAM_LONG=1 npx vitest run kill                 # 1,150 kills and signals; KILL_SEED repeats those of write',
      'sudo env "PATH=$PATH" .ci/sanitize thread            # the addon under TSan; also: address, undefined',
      'npm run format                                       # formats everything',
      '',
    ].join('\n'),
    reason: 'runs the tests, this one among them; CI runs the check and all tests',
  },
];

const PAGES = [
  'README.md',
  'ARCHITECTURE.md',
  'BENCHMARKING.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'bench/README.md',
  ...['docs', 'docs/cli'].flatMap(markdown),
].filter((page) => existsSync(join(root, page)));

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
const isCode = ({ language }: Pick<Block, 'language'>): boolean => language === 'js' || language === 'ts';
const fileOf = ({ line, language }: Block): string => `block-${line}.m${language}`;

/** Programs that blocks run and that not every machine has. */
const PROGRAMS = ['jq', 'qemu-nbd'];

function has(program: string): boolean {
  try {
    return execFileSync(program, ['--version']).length > 0;
  } catch {
    if (process.env.CI === 'true') throw new Error(`in CI nothing is skipped, but ${program} is not there`);
    return false;
  }
}

async function runCode({ folder, run }: Reader, block: Block): Promise<void> {
  const bundle = await rolldown({ input: join(folder, fileOf(block)), external: /^[^./]/, platform: 'node' });
  const { output } = await bundle.generate({ format: 'esm' });
  await bundle.close();
  const file = `run-${block.line}.mjs`;
  writeFileSync(join(folder, file), output[0].code);
  await run(process.execPath, file);
}

/** They speak to the toolstack of a host. */
const needsXen = ({ language, text }: Block): boolean => (language === 'sh' || isCode({ language })) && /\bSR\b|\bxe\b/.test(text);
const onHost = testWith('root', 'loop', 'g++');

/** They speak to a pool over the network. */
const needsPool = ({ text }: Block): boolean => /\bPOOL\b/.test(text);
const onPool = testWith('openssl');

/** Everything that was plugged is unplugged; the disks stay. */
function assertUnplugged({ host }: Reader): void {
  if (host !== undefined) assertClean(host, { vdis: host.state().vdi.map(({ uuid }) => uuid) });
}

describe.each(PAGES)('%s', (page) => {
  const blocks = BLOCKS.filter((block) => block.page === page && !isListed(block));
  const code = blocks.filter(isCode);
  const xen = blocks.some(needsXen) && onHost !== test.skip;
  const remote = blocks.some(needsPool) && onPool !== test.skip;
  let reader: Reader;
  beforeAll(async () => {
    reader = await newReader({ xen, remote });
  });
  afterAll(() => reader.close());

  if (code.length > 0) {
    test('its js and ts blocks have no type error', async () => {
      for (const block of code) writeFileSync(join(reader.folder, fileOf(block)), block.text);
      await reader.check(code.map(fileOf));
    });
  }

  for (const block of blocks) {
    const { language, line, text } = block;
    const here = needsXen(block) ? onHost : needsPool(block) ? onPool : test;
    if (isCode(block)) {
      here(`the ${language} block of line ${line} runs`, async () => {
        await runCode(reader, block);
        assertUnplugged(reader);
      });
    }
    if (language !== 'sh') continue;
    here(`the sh block of line ${line} runs`, async ({ skip }) => {
      for (const program of PROGRAMS) if (new RegExp(`\\b${program}\\b`).test(text) && !has(program)) skip(`needs ${program}`);
      await reader.shell(text);
      assertUnplugged(reader);
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

test('a block that needs a Xen host is in a section, or on a page, that says so', () => {
  const needsHost = ({ language, text }: Block): boolean =>
    language !== 'text' && /\bvdistream (?:import|reap)\b|\bxe \w|\bvdi:|\bimportImage\b|\breap\(/.test(text);
  const says = (text = ''): boolean => /Dom0|Xen host/.test(text);
  const unmarked = BLOCKS.filter(needsHost).filter(({ page, line }) => {
    const before = read(page).split('\n').slice(0, line).join('\n');
    return !says(before.split(/^#+ /m).at(-1)) && !says(before.split(/^## /m)[0]);
  });
  expect(unmarked.map(({ page, line }) => `${page}:${line}`)).toEqual([]);
});

test('every block that is listed as not run is still there', () => {
  const gone = NOT_RUN.filter(({ text }) => !BLOCKS.some((block) => block.text === text));
  expect(gone).toEqual([]);
});

test('the tables, the completions and the man page are what `npm run docs` makes of the source', async () => {
  const files = await generatedFiles();
  expect([...files.keys()]).toEqual(expect.arrayContaining(['docs/errors.md', 'docs/cli/write.md', 'man/vdistream.1']));
  for (const [path, text] of files) expect(read(path), path).toBe(text);
});

describe('docs/cli/', () => {
  const pages = markdown('docs/cli').map(read).join('\n');
  const section = (title: string): string => pages.split(/^#+ /m).find((text) => text.startsWith(`${title}\n`)) ?? '';
  /** The first cells of the tables of a section, sorted. */
  const fields = (...titles: string[]): string[] =>
    titles.flatMap((title) => [...section(title).matchAll(/^\| `(\w+)`/gm)].map(([, name = '']) => name)).sort();

  let reader: Reader;
  beforeAll(async () => {
    reader = await newReader({ xen: onHost !== test.skip });
    // Some fields are those of a compressed image.
    await reader.shell('gzip -k image.ova');
  });
  afterAll(() => reader.close());

  async function json(text: string): Promise<Record<string, object>> {
    const { stdout } = await reader.shell(text);
    return JSON.parse(withoutProgress(stdout));
  }
  const keys = (value: object | undefined): string[] => Object.keys(value ?? {}).sort();

  test('lists every field of each result, and no other', async () => {
    const { disks, ...image } = await json('vdistream info image.ova.gz --json');
    const [disk] = disks as unknown as object[];
    // Only a layer that was made over another has a parent.
    const [leaf] = (await json('vdistream info leaf.vhd image.vhd --json')).disks as unknown as object[];
    const all = new Set([...keys(disk), ...keys(leaf)]);
    expect(fields('Result of info')).toEqual(['disks', ...keys(image), ...all].sort());
    expect(fields('Result of write')).toEqual(keys(await json('vdistream write image.ova.gz a.raw --json')));
    expect(fields('Result of verify')).toEqual(keys(await json('vdistream verify image.ova.gz a.raw --json')));
  });

  test('lists every field of the result of a check, and no other', async () => {
    const { disks, ...result } = await json('vdistream check image.ova.gz --json');
    const [disk] = disks as unknown as object[];
    expect(fields('Result of check')).toEqual(['disks', ...keys(result), ...keys(disk)].sort());
    const { findings } = await json('head -c 10000 image.ova > cut.ova; vdistream check cut.ova --json || true');
    const [finding] = findings as unknown as object[];
    expect(fields('Finding')).toEqual(keys(finding));
  });

  onHost('lists every field of the results of an import, and no other', async () => {
    const imported = await json('vdistream import image.ova.gz --sr $SR --json');
    expect(fields('Result of write', 'Result of import')).toEqual(keys(imported));
    expect(fields('Result of write')).toEqual(keys(await json('vdistream import image.ova.gz --device "$DEV" --json')));
  });

  onHost('lists every field of the results of a list, and no other', async () => {
    const list = (name: string): string =>
      `printf '%s\\n' image.ova ${name} > images.txt; vdistream import --list images.txt --sr $SR --json`;
    await reader.shell(list('image.vhd'));
    const { stdout } = await reader.shell(`${list('missing.vhd')} || true`);
    const results: object[] = withoutProgress(stdout)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(results).toHaveLength(2);
    expect(fields('Result of a list')).toEqual([...new Set(results.flatMap(keys))].sort());
  });

  onHost('lists every field of the results of dry runs, and no other', async () => {
    expect(fields('Result of a dry run of write')).toEqual(keys(await json('vdistream write image.ova "$DEV" --dry-run --json')));
    const [ofSr = '', ofDevice = ''] = section('Result of a dry run of import').split('With `--device`');
    const named = (text: string): string[] => [...text.matchAll(/^\| `(\w+)`/gm)].map(([, name = '']) => name);
    expect(named(ofSr).sort()).toEqual(keys(await json('vdistream import image.ova --sr $SR --dry-run --json')));
    const toDevice = await json('vdistream import image.ova --device "$DEV" --dry-run --json');
    expect([...fields('Result of a dry run of write'), ...named(ofDevice)].sort()).toEqual(keys(toDevice));
  });

  onHost('lists every field of the results of all disks, and no other', async () => {
    const { disks, ...others } = await json('vdistream import image.ova.gz --sr $SR --all-disks --json');
    const [disk] = disks as unknown as object[];
    expect(['disks', ...keys(others)]).toEqual(fields('Result of import of all disks'));
    expect(keys(disk)).toEqual(fields('Result of write', 'Result of import'));
    const dryRun = await json('vdistream import image.ova --sr $SR --all-disks --dry-run --json');
    const shared = [
      ...(section('Result of a dry run of all disks')
        .split('|')[0]
        ?.matchAll(/`(\w+)`/g) ?? []),
    ].map(([, name = '']) => name);
    expect(keys(dryRun)).toEqual([...shared, ...fields('Result of a dry run of all disks')].sort());
    const [listed] = dryRun.disks as unknown as object[];
    expect(keys(listed)).toEqual(['allocatedBytes', 'layers', 'member', 'name', 'type', 'virtualSize']);
  });

  onHost('lists every field of the result of a reap, and no other', async () => {
    // Of a process of another boot, so that it is a left-over VDI, no matter what runs here.
    const token = '0'.repeat(32);
    const tag = `vdistream.${reader.host?.uuid}.2.00000000-0000-4000-8000-000000000000.1.1.1.${token}`;
    const [sr = ''] = reader.host?.state().sr.map(({ uuid }) => uuid) ?? [];
    const records = createRecords(join(reader.host?.folder ?? '', 'records'));
    await records.add(token, { tag, sr, name: 'left', size: 2_097_152 });
    const create = `xe vdi-create sr-uuid=${sr} name-label=left virtual-size=2097152`;
    await reader.shell(`${create} tags:${tag}=`);
    // Of these, there is no record.
    await reader.shell(`${create} tags:${tag.slice(0, -1)}1=`);
    // A killed export of the other.
    const exported = (await reader.shell(`xe vdi-list tags:contains=${tag.slice(0, -1)}1 --minimal`)).stdout.trim();
    const created = `xe vbd-create vm-uuid=${reader.host?.dom0} vdi-uuid=${exported} device=autodetect mode=RO`;
    const vbd = (await reader.shell(created)).stdout.trim();
    await records.addExport('e'.repeat(32), { tag: tag.replace(token, 'e'.repeat(32)), sr, vdi: exported, before: [] });
    await records.completeExport('e'.repeat(32), vbd);
    const result = await json('vdistream reap --json');
    expect(result).toMatchObject({ removed: 2, failed: 0 });
    const listed = [result.leftOvers, result.leftOverVbds].flat() as unknown as Record<string, unknown>[];
    expect(listed.map(({ owner }) => owner).sort()).toEqual(['dead', 'dead', 'unproven']);
    expect([...new Set(fields('Result of reap'))]).toEqual([...new Set([...keys(result), ...listed.flatMap(keys)])].sort());
    await reader.shell(`xe vdi-destroy uuid=${exported}`);
  });

  test('lists every field of a progress line, and no other', async () => {
    // The line itself is tested with a clock in reporter.test.ts: what the library reports, and two times.
    const reports: Progress[] = [];
    await writeDisk(join(reader.folder, 'image.ova'), 'null:', { onProgress: (progress) => reports.push(progress) });
    expect(fields('Progress')).toEqual([...keys(reports[0] ?? {}), 'seconds', 'idle'].sort());
  });

  test('lists every field of the version, and no other', async () => {
    expect(fields('Version')).toEqual(keys(await json('vdistream --version --json')));
  });

  test('lists every field of a warning', async () => {
    const { warning } = await json('vdistream info unended.ova --json 2>&1 >result.json');
    for (const key of keys(warning)) expect(fields('Warning')).toContain(key);
  });

  test('lists every field of an error, and no other', () => {
    const where = { member: '0.vhd', offset: 512, errno: 5, device: '/dev/nbd0', xapi: 'SR_BACKEND_FAILURE_44', status: 500 };
    const error = new VdiStreamError('TARGET_BUSY', 'an error with all that there can be', where);
    error.left.push('a VDI');
    expect(fields('Error')).toEqual(keys(error.toJSON()));
  });

  /** The options in the tables of a page: all of them, or those of a group. */
  const optionsIn = (page: string, group = '\\w+'): string[] =>
    [...read(`docs/cli/${page}`).matchAll(new RegExp(`<!-- options: ${group} -->(.*?)<!-- end -->`, 'gs'))].flatMap(([, rows = '']) =>
      [...rows.matchAll(/^\| \[?`(?:-q, )?(--[a-z0-9-]+)/gm)].map(([, name = '']) => name),
    );
  const optionsOfHelp = async (command: string): Promise<string[]> => {
    const { stdout } = await reader.shell(`vdistream ${command}`);
    return [...stdout.matchAll(/^ {2}(?:-q, )?(--[a-z0-9-]+)/gm)].map(([, name = '']) => name);
  };

  test.each(['info', 'check', 'write', 'verify', 'import', 'reap'])('has in the tables of "%s" the options of its --help', async (name) => {
    const shared =
      name === 'reap' ? [] : optionsIn('images.md', 'image').filter((option) => option !== '--virtual-size' || !/info|check/.test(name));
    const tables = [...optionsIn(`${name}.md`), ...shared, ...optionsIn('output.md')];
    const others = name === 'import' ? [...(await optionsOfHelp('help many')), ...(await optionsOfHelp('help pool'))] : [];
    expect(tables.sort()).toEqual([...(await optionsOfHelp(`${name} --help`)), ...others].sort());
  });

  test('has in the table of sources the options of `vdistream help sources`', async () => {
    expect(optionsIn('images.md', 'source')).toEqual(await optionsOfHelp('help sources'));
  });
});
