/**
 * Bundles each program into one file: loading a hundred modules takes 26 ms longer. Dependencies stay outside, and are loaded on demand,
 * except sax in the plugin: it parses the argument with it, and must answer even if the installation is incomplete.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = new URL('..', import.meta.url);
const { dependencies, peerDependencies } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));

for (const { program, inside } of [
  { program: 'dist/cli/main.js', inside: '' },
  { program: 'dist/plugin/main.js', inside: 'sax' },
]) {
  const file = fileURLToPath(new URL(program, root));
  const external = Object.keys({ ...dependencies, ...peerDependencies }).filter((name) => name !== inside);
  const bundle = await rolldown({ input: file, platform: 'node', external });
  await bundle.write({ file, codeSplitting: false });
  await bundle.close();
}
