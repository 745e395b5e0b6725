/** The programs under the Node that runs the tests: nothing is on stderr that they did not write themselves. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { testFolder } from './support/folder.ts';
import { withoutProgress } from './support/progress.ts';

const GET_VERSION =
  '<?xml version="1.0"?><methodCall><methodName>get_version</methodName><params><param><value>OpaqueRef:1</value></param>' +
  '<param><value><struct></struct></value></param></params></methodCall>';

function run(
  program: string,
  args: readonly string[],
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const path = fileURLToPath(new URL(`../dist/${program}`, import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr: withoutProgress(stderr) };
}

test('the command line prints nothing to stderr if nothing is wrong', () => {
  const image = join(testFolder(), 'image.raw');
  writeFileSync(image, Buffer.alloc(4096, 1));
  for (const args of [['--version'], ['help'], ['info', image, '--raw'], ['write', image, 'null:', '--raw'], ['check', image, '--raw']]) {
    expect(run('cli/main.js', args)).toMatchObject({ status: 0, stdout: expect.stringMatching(/./), stderr: '' });
  }
});

test('an error of the command line is the only thing on stderr', () => {
  const { status, stderr } = run('cli/main.js', ['info', '/nowhere']);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^vdistream: .*\n {2}.*\(SOURCE_OPEN\)\n$/);
});

test('the plugin prints nothing to stderr if nothing is wrong', () => {
  expect(run('plugin/main.js', [GET_VERSION])).toMatchObject({ status: 0, stdout: expect.stringContaining('Success'), stderr: '' });
});

test.each(['cli/main.js', 'plugin/main.js'])('%s loads no client of the network before it needs one', (program) => {
  const text = readFileSync(new URL(`../dist/${program}`, import.meta.url), 'utf8');
  const loaded = [...text.matchAll(/^import\b.* from ["']([^"']+)["'];$/gm)].map(([, name]) => name);
  expect(loaded).toContain('node:fs');
  for (const client of ['node:http', 'node:https', 'node:http2', 'node:tls', 'undici']) expect(loaded).not.toContain(client);
});
