/** scripts/prepare.mjs, in a checkout whose build only writes the files. */

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { testFolder } from './support/folder.ts';

const script = fileURLToPath(new URL('../scripts/prepare.mjs', import.meta.url));
const BUILT = ['build/Release/vdistream.node', 'dist/index.js', 'dist/blocks.js', 'dist/cli/main.js', 'dist/plugin/main.js'];

/** A checkout that is not built yet. Its build prints a line, writes what `BUILT` lists, and ends with the status in the file `status`. */
function checkout(): string {
  const folder = testFolder();
  for (const name of ['src', 'native', 'scripts', 'build/Release', 'dist/cli', 'dist/plugin'])
    mkdirSync(join(folder, name), { recursive: true });
  for (const name of ['src/index.ts', 'native/addon.cc', 'binding.gyp', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json']) {
    writeFileSync(join(folder, name), '');
  }
  copyFileSync(script, join(folder, 'scripts/prepare.mjs'));
  writeFileSync(join(folder, 'status'), '0');
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ scripts: { build: 'echo compiling && node build.mjs' } }));
  const build = `import { readFileSync, writeFileSync } from 'node:fs';
    for (const path of ${JSON.stringify(BUILT)}) writeFileSync(path, '');
    process.exit(Number(readFileSync('status', 'utf8')));`;
  writeFileSync(join(folder, 'build.mjs'), build);
  return folder;
}

const prepare = (folder: string): ReturnType<typeof spawnSync> =>
  spawnSync(process.execPath, [join(folder, 'scripts/prepare.mjs')], { cwd: '/', encoding: 'utf8' });
const touch = (path: string, seconds: number): void => utimesSync(path, seconds, seconds);

test('a checkout is built without the noise of the compiler, and a second time not at all', () => {
  const folder = checkout();
  for (const name of ['src/index.ts', 'scripts/prepare.mjs']) touch(join(folder, name), 1);
  expect(prepare(folder)).toMatchObject({ status: 0, stdout: expect.stringMatching(/^vdistream: building .*\n$/), stderr: '' });
  const addon = join(folder, BUILT[0] ?? '');
  // The sources are older than the build, by more than the clock of the file system shows.
  for (const path of BUILT) touch(join(folder, path), Date.now() / 1000 + 60);
  const before = statSync(addon).mtimeMs;
  expect(prepare(folder)).toMatchObject({ status: 0, stdout: '', stderr: '' });
  expect(statSync(addon).mtimeMs).toBe(before);
});

test('a source that is newer than the build is built', () => {
  const folder = checkout();
  prepare(folder);
  touch(join(folder, 'native/addon.cc'), Date.now() / 1000 + 60);
  expect(prepare(folder).stdout).toContain('building');
});

test('a build that fails shows what the compiler has printed, and its status', () => {
  const folder = checkout();
  writeFileSync(join(folder, 'status'), '3');
  const { status, stderr } = prepare(folder);
  expect(status).not.toBe(0);
  expect(String(stderr)).toContain('compiling');
  expect(readFileSync(join(folder, 'status'), 'utf8')).toBe('3');
});
