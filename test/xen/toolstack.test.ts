/** Only the files of xe know how it is spoken to. */

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../../src/xen/', import.meta.url));
const files = readdirSync(folder).map((name) => ({ name, text: readFileSync(`${folder}${name}`, 'utf8') }));
const isOfXe = (name: string): boolean => /^xe[-.]/.test(name);

/** A command as `vdi-create`, or a parameter as `sr-uuid` or `param-name`, in quotes. */
const SPOKEN = /['"`](?:(?:vm|vdi|vbd|sr|pbd|host)-[a-z-]+|param-[a-z]+|tags:\w+|--(?:trace|minimal))\b/;

test('only the files of xe contain a command of xe or one of its parameters', () => {
  const speaking = files.filter(({ text }) => SPOKEN.test(text.replaceAll(/\/\*.*?\*\/|\/\/[^\n]*/gs, '')));
  expect(files.filter(({ name }) => isOfXe(name)).length).toBeGreaterThan(5);
  expect(speaking.filter(({ name }) => !isOfXe(name)).map(({ name }) => name)).toEqual([]);
  expect(speaking.map(({ name }) => name)).toEqual(expect.arrayContaining(['xe-vbd.ts', 'xe-vdi.ts', 'xe.ts']));
});

test('the xe toolstack is created where the options come in, and imported nowhere else', () => {
  const importing = files.filter(
    ({ name, text }) => !isOfXe(name) && /from '\.\/xe[-.][^']*'/.test(text.replaceAll(/^import type .*$/gm, '')),
  );
  expect(importing.map(({ name }) => name)).toEqual([
    'dry-run-disks.ts',
    'dry-run.ts',
    'exported-vdi.ts',
    'import.ts',
    'reap.ts',
    'vdi-disk.ts',
  ]);
});
