/**
 * `npm run bundle:dom0 -- NODE [OUT]`: makes OUT, vdistream-dom0.tar.gz by default: one folder, `vdistream`, with all that a Dom0 needs. NODE
 * is the Node to put inside: the archive that nodejs.org or unofficial-builds.nodejs.org offers, or a `node` executable.
 */

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const PACKAGE = 'lib/node_modules/vdistream';
const PROGRAMS = { vdistream: 'cli', 'vdistream-plugin': 'plugin' };

const [node, out = 'vdistream-dom0.tar.gz'] = process.argv.slice(2);
if (node === undefined) {
  console.error(
    'usage: npm run bundle:dom0 -- NODE [OUT]\nNODE: an archive of Node for Linux, such as node-v22.21.1-linux-x64-glibc-217.tar.xz, or an executable',
  );
  process.exit(2);
}

const work = mkdtempSync(join(tmpdir(), 'vdistream-bundle-'));
try {
  const bundle = join(work, 'vdistream');
  mkdirSync(join(bundle, 'bin'), { recursive: true });
  putNode(node, join(bundle, 'bin'));
  installPackage(bundle);
  for (const [name, folder] of Object.entries(PROGRAMS)) writeFileSync(join(bundle, 'bin', name), launcher(folder), { mode: 0o755 });
  // Owned by root wherever it is unpacked as root, whoever made it.
  tar(['-czf', resolve(out), '--owner=0', '--group=0', '-C', work, 'vdistream']);
  console.log(`${out}: ${statSync(out).size} bytes, unpacked ${execFileSync('du', ['-sb', bundle], { encoding: 'utf8' }).split('\t')[0]}`);
} finally {
  rmSync(work, { recursive: true });
}

/** @param {string[]} args */
function tar(args) {
  execFileSync('tar', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** @param {string} from @param {string} folder */
function putNode(from, folder) {
  if (/\.tar\.[gx]z$/.test(from)) tar(['-xf', resolve(from), '-C', folder, '--strip-components=2', '--wildcards', '*/bin/node']);
  else copyFileSync(from, join(folder, 'node'));
}

/** The package as it is published, with its dependencies. The addon has been built by `npm ci`. @param {string} bundle */
function installPackage(bundle) {
  for (const script of ['prebuild', 'isal']) execFileSync(process.execPath, [`scripts/${script}.mjs`], { cwd: root, stdio: 'inherit' });
  const quiet = ['--no-audit', '--no-fund', '--silent', '--ignore-scripts'];
  execFileSync('npm', ['pack', ...quiet, '--pack-destination', work], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  const packed = readdirSync(work).find((name) => name.endsWith('.tgz')) ?? '';
  const to = ['--prefix', bundle, '--global', '--omit=peer'];
  execFileSync('npm', ['install', ...quiet, ...to, join(work, packed)], { stdio: ['ignore', 'ignore', 'inherit'] });
  // Links to the programs, which need a `node` on the PATH.
  for (const name of Object.keys(PROGRAMS)) rmSync(join(bundle, 'bin', name));
}

/** Works through links to it, with nothing in its environment. @param {string} folder */
function launcher(folder) {
  return `#!/bin/sh
bin=$(dirname "$(readlink -f "$0")")
exec "$bin/node" "$bin/../${PACKAGE}/dist/${folder}/main.js" "$@"
`;
}
