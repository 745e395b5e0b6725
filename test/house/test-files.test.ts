import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const here = fileURLToPath(new URL('..', import.meta.url));

test('no test file and no support file under test/ is longer than 400 lines', () => {
  const files = readdirSync(here, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(ts|mjs|py|cc|sh|S)$/.test(name));
  const long = files
    .map((file) => ({ file, lines: readFileSync(join(here, file), 'utf8').split('\n').length - 1 }))
    .filter(({ lines }) => lines > 400);
  expect(files.length).toBeGreaterThan(100);
  expect(long).toEqual([]);
});
