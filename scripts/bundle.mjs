/**
 * Each program becomes one file: a start that reads a hundred modules takes 26 ms longer. The dependencies stay outside, and are loaded
 * when they are first needed.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = new URL('..', import.meta.url);
const { dependencies } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));

for (const program of ['dist/cli/main.js', 'dist/plugin/main.js']) {
  const file = fileURLToPath(new URL(program, root));
  const bundle = await rolldown({ input: file, platform: 'node', external: Object.keys(dependencies) });
  await bundle.write({ file, codeSplitting: false });
  await bundle.close();
}
