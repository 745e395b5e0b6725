/**
 * Bundles each program into one file: loading a hundred modules takes 26 ms longer. Dependencies stay outside, and are loaded on demand,
 * except sax, which is imported at the start: from a file of its own it takes 40 ms more (Node parses CommonJS twice for an import). The
 * plugin also parses its argument with it, and must answer even if the installation is incomplete.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = new URL('..', import.meta.url);
const { dependencies, peerDependencies } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));

const external = Object.keys({ ...dependencies, ...peerDependencies }).filter((name) => name !== 'sax');

for (const program of ['dist/cli/main.js', 'dist/plugin/main.js']) {
  const file = fileURLToPath(new URL(program, root));
  const bundle = await rolldown({ input: file, platform: 'node', external });
  await bundle.write({ file, codeSplitting: false });
  await bundle.close();
}
