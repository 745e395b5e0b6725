/** The workflow on GitHub and .ci/run install the same packages and run the same commands, so what passes there passes here. */

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

const read = (path: string): string => readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8');

/** What .ci/run runs and the workflow does not. */
const LEFT_OUT: ReadonlyArray<{ readonly command: string; readonly reason: string }> = [
  { command: 'npm run test:dom0', reason: 'boots Xen and a Dom0 in qemu, minutes for each Node' },
];

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: {
    readonly test: {
      readonly container: { readonly image: string };
      readonly strategy: { readonly matrix: { readonly node: readonly number[] } };
      readonly steps: ReadonlyArray<{ readonly uses?: string; readonly run?: string; readonly 'continue-on-error'?: boolean }>;
    };
  };
}

const workflow: Workflow = parse(read('.github/workflows/test.yml'));
const { container, strategy, steps } = workflow.jobs.test;

/** The packages of every `apt-get install` of a shell script, sorted. */
function packagesOf(script: string): string[] {
  const joined = script.replaceAll(/\\\n/g, ' ');
  const installs = [...joined.matchAll(/apt-get install ([^&|;\n]*)/g)].map(([, words = '']) => words);
  return [...new Set(installs.flatMap((words) => words.split(/\s+/).filter((word) => /^[a-z0-9]/.test(word))))].sort();
}

/** The npm commands that a shell script runs as steps, without the options that say where a report or an image goes. */
function commandsOf(script: string): string[] {
  const calls = [...script.matchAll(/^\s*(?:step (?:'[^']*'|\S+) )?(?:limit \d+ )?(npm (?:ci|test|run)\b[^|;&\n]*)/gm)];
  return calls.map(([, call = '']) =>
    call
      .replaceAll(/ --(?:dir|report|reporter|outputFile)[= ]\S+/g, '')
      .replace(/ --\s*$/, '')
      .trim(),
  );
}

const runs = steps.flatMap(({ run }) => run ?? []).join('\n');

test('the workflow installs the packages that .ci/run installs', () => {
  const packages = packagesOf(read('.ci/run'));
  expect(packages).toContain('qemu-utils');
  expect(packagesOf(runs)).toEqual(packages);
});

test('the workflow runs the npm commands of .ci/run in their order, but for those that are listed with a reason', () => {
  const commands = commandsOf(read('.ci/run'));
  expect(commands).toEqual(expect.arrayContaining(['npm ci', 'npm test', ...LEFT_OUT.map(({ command }) => command)]));
  const expected = commands.filter((command) => LEFT_OUT.every((left) => left.command !== command));
  expect(commandsOf(runs)).toEqual(expected);
});

test('the workflow runs on Node 20, 22 and 24, for pushes and pull requests, with the right to read and no other', () => {
  expect(strategy.matrix.node).toEqual([20, 22, 24]);
  expect(container.image).toContain('node:$' + '{{ matrix.node }}');
  expect(Object.keys(workflow.on)).toEqual(['push', 'pull_request']);
  expect(workflow.permissions).toEqual({ contents: 'read' });
});

test('.ci/run runs on the first of them, and part of the tests on the others', () => {
  const [first, ...others] = strategy.matrix.node;
  expect(read('.ci/run')).toContain(`with Node ${first}.`);
  expect(read('.ci/run')).toContain(`for version in ${others.join(' ')}; do`);
});

test('.ci/long runs every test that has a long form, and the whole suite on the others', () => {
  const long = read('.ci/long');
  const parts = [...long.matchAll(/^part '.*' VDISTREAM_LONG=1 (.*)$/gm)].flatMap(([, words = '']) => words.split(' '));
  const files = readdirSync(fileURLToPath(new URL('.', import.meta.url)), { recursive: true, encoding: 'utf8' });
  const withLongForm = files
    .filter((file) => file.endsWith('.test.ts') && /roundsOf\(|process\.env\.VDISTREAM_LONG|\bisLong\b/.test(read(`test/${file}`)))
    .map((file) => `test/${file}`);
  expect(withLongForm).toEqual(expect.arrayContaining(['test/engine/fault-matrix.test.ts', 'test/xen/import-kill.test.ts']));
  expect(withLongForm.filter((file) => !parts.some((part) => file.includes(part)))).toEqual([]);
  expect(long).toMatch(/^part '.*' FUZZ_SECONDS=\d+ fuzz$/m);
  expect(long).toContain(`for version in ${strategy.matrix.node.slice(1).join(' ')}; do on_node`);
});

test('no step of the workflow may fail unnoticed', () => {
  expect(steps.filter((step) => step['continue-on-error'] !== undefined)).toEqual([]);
});

test('packages and commands are found across joined lines, with limits, and without report paths', () => {
  const script = [
    'tools() {',
    '  apt-get update -qq && apt-get install -y --no-install-recommends lvm2 \\',
    '    7zip && true',
    '}',
    'step install npm ci',
    `step 'all tests' limit 900 npm test -- --reporter=json --outputFile="$work/tests.json"`,
    'step bench limit 9 npm run bench -- --quick --dir "$work/bench"',
    '  limit 900 npm run test:dom0 -- --report "$work/dom0.json" || status=$?',
    'value=$(npm config get proxy)',
  ].join('\n');
  expect(packagesOf(script)).toEqual(['7zip', 'lvm2']);
  expect(commandsOf(script)).toEqual(['npm ci', 'npm test', 'npm run bench -- --quick', 'npm run test:dom0']);
});

test.each(['bug.yml', 'feature.yml'])('the issue template %s is a form in which each question has an id of its own', (name) => {
  const form = parse(read(`.github/ISSUE_TEMPLATE/${name}`));
  expect(form).toMatchObject({ name: expect.any(String), description: expect.any(String), body: expect.any(Array) });
  const ids: string[] = form.body.flatMap(({ type, id }: { type: string; id?: string }) => (type === 'markdown' ? [] : [id ?? '']));
  expect(ids).not.toContain('');
  expect(new Set(ids).size).toBe(ids.length);
});
