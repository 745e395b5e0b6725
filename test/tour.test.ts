/** The tour of README.md, as a newcomer walks it: in an empty folder, with `vdistream` on the PATH and what the page names. */

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { testFolder } from './support/folder.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const tour = readme.slice(readme.indexOf('## Five minutes'), readme.indexOf('### In Dom0'));

interface Step {
  readonly commands: string;
  /** What the page shows of the output; undefined if it shows nothing. */
  readonly shown: string | undefined;
}

const steps: Step[] = [...tour.matchAll(/^```sh\n(.*?)^```\n(?:\n```console\n(.*?)^```$)?/gms)].map(([, commands = '', shown]) => ({
  commands,
  shown,
}));

/** Lines are broken on the page, and times and speeds differ. */
const comparable = (text: string): string =>
  text
    .replaceAll(/\d+\.\d\d s, \d+ MB\/s/g, 'TIME')
    .replaceAll(/\s+/g, ' ')
    .trim();

/** A checkout of which only what `npm run` needs is there. */
function checkout(): string {
  const folder = testFolder();
  for (const name of ['package.json', 'bench', 'node_modules']) symlinkSync(join(root, name), join(folder, name));
  mkdirSync(join(folder, 'bin'));
  const program = `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'dist/cli/main.js')}' "$@"\n`;
  writeFileSync(join(folder, 'bin/vdistream'), program, { mode: 0o755 });
  return folder;
}

test('the tour of the README works as written, and prints what the page shows', async () => {
  expect(steps.filter(({ shown }) => shown !== undefined).length).toBeGreaterThanOrEqual(4);
  const folder = checkout();
  const script = steps.map(({ commands }, index) => `${commands}\nprintf '\\n=== %d\\n' ${index}\n`).join('');
  const path = [join(folder, 'bin'), dirname(process.execPath), process.env.PATH].join(':');
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: folder,
    env: { ...process.env, PATH: path },
  });
  const printed = stdout.split(/^=== \d+\n/m);
  for (const [index, { commands, shown }] of steps.entries()) {
    if (shown !== undefined) expect(comparable(printed[index] ?? ''), commands).toBe(comparable(shown));
  }
});
