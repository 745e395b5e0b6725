/**
 * Puts the addon into its place in the package, prebuilds/<platform>-<arch>.node, without symbols: for this machine's architecture the one
 * that this checkout has built, for another one (`node scripts/prebuild.mjs arm64`) one that is compiled for it here, with the compiler and
 * the binutils of Debian's package g++-aarch64-linux-gnu. A second argument is the folder to put it into instead.
 */

import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** How Debian names the tools for an architecture of Node. @type {Readonly<Record<string, string>>} */
const TOOLS = { arm64: 'aarch64-linux-gnu-', x64: 'x86_64-linux-gnu-' };
const BUILT = 'build/Release/vdistream.node';

const inRoot = (/** @type {string} */ path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const { arch: here, platform } = process;
const [arch = here, place = inRoot('prebuilds')] = process.argv.slice(2);
const tools = arch === here ? '' : TOOLS[arch];
if (tools === undefined) throw new Error(`there is no compiler for ${arch}: only ${Object.keys(TOOLS).join(' and ')}`);

if (arch === here) install(inRoot(BUILT));
else {
  const folder = mkdtempSync(join(tmpdir(), 'vdistream-prebuild-'));
  try {
    for (const name of ['binding.gyp', 'native', 'package.json']) cpSync(inRoot(name), join(folder, name), { recursive: true });
    execFileSync(process.execPath, [inRoot('node_modules/node-gyp/bin/node-gyp.js'), 'rebuild', '--silent', `--arch=${arch}`], {
      cwd: folder,
      env: { ...process.env, CC: `${tools}gcc`, CXX: `${tools}g++`, AR: `${tools}ar` },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    install(join(folder, BUILT));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function install(/** @type {string} */ built) {
  const prebuilt = join(place, `${platform}-${arch}.node`);
  mkdirSync(place, { recursive: true });
  copyFileSync(built, prebuilt);
  try {
    execFileSync(`${tools}strip`, [prebuilt]);
  } catch (error) {
    // Without binutils, the package is a few kilobytes larger; any other failure of strip is an error.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}
