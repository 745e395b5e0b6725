/**
 * What npm runs after `npm ci`, and for `npm link`: builds the checkout, unless its build is newer than its sources, so that a build that is
 * in use stays as it is. The compiler's output is shown only if it fails.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const SOURCES = ['src', 'native', 'scripts', 'binding.gyp', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];
const BUILT = ['build/Release/vdistream.node', 'dist/index.js', 'dist/blocks.js', 'dist/cli/main.js', 'dist/plugin/main.js'];

const at = (/** @type {string} */ path) => statSync(join(root, path)).mtimeMs;

/** The files in a folder, or the file. @param {string} path @returns {string[]} */
const filesOf = (path) =>
  statSync(join(root, path)).isDirectory() ? readdirSync(join(root, path)).flatMap((name) => filesOf(join(path, name))) : [path];

function isBuilt() {
  if (!BUILT.every((path) => existsSync(join(root, path)))) return false;
  return Math.max(...SOURCES.flatMap(filesOf).map(at)) < Math.min(...BUILT.map(at));
}

if (!isBuilt()) {
  console.log('vdistream: building the addon and the library; this takes about a minute');
  const { status, error, stdout, stderr } = spawnSync('npm', ['run', 'build'], { cwd: root, encoding: 'utf8' });
  if (status !== 0) {
    process.stderr.write(error ? `vdistream: cannot run npm: ${error.message}\n` : `${stdout}${stderr}`);
    process.exitCode = status ?? 1;
  }
}
