/**
 * Copies the addon built in this checkout to its place in the package, prebuilds/<platform>-<arch>.node, without symbols. Run it once on
 * each architecture before publishing.
 */

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const inRoot = (/** @type {string} */ path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const built = inRoot('build/Release/vdistream.node');
const prebuilt = inRoot(`prebuilds/${process.platform}-${process.arch}.node`);

mkdirSync(dirname(prebuilt), { recursive: true });
copyFileSync(built, prebuilt);
try {
  execFileSync('strip', [prebuilt]);
} catch (error) {
  // Without binutils, the package is a few kilobytes larger; any other failure of strip is an error.
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
}
