/**
 * Puts the addon that this checkout has built where a package carries it: prebuilds/<platform>-<arch>.node, without its
 * symbols. Run it once on each architecture before publishing.
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
  // Without binutils the package is some kilobytes larger; a strip that fails is another matter.
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
}
