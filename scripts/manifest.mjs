/**
 * Makes the manifest of the package from that of the checkout: without scripts and development dependencies, which npm would warn of and
 * nobody who installs the package can use. `prepack` writes it; `postpack`, with `--restore`, brings the checkout's back.
 */

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const inRoot = (/** @type {string} */ path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const manifest = inRoot('package.json');
const kept = inRoot('.package.json');

// Also when the last `npm pack` did not reach its end.
if (existsSync(kept)) renameSync(kept, manifest);
if (!process.argv.includes('--restore')) {
  const text = readFileSync(manifest, 'utf8');
  const { scripts: _scripts, devDependencies: _devDependencies, ...published } = JSON.parse(text);
  writeFileSync(kept, text);
  writeFileSync(manifest, `${JSON.stringify(published, undefined, 2)}\n`);
}
