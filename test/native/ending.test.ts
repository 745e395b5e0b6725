/** A worker thread that ends while I/O is in flight does no harm to the rest of the process. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { addonPath } from '../support/faults.ts';
import { testFolder } from '../support/folder.ts';
import { roundsOf } from '../support/rounds.ts';

const program = fileURLToPath(new URL('../support/ending-worker.mjs', import.meta.url));
const SECONDS = roundsOf({ inSuite: 12, long: 600 });

test(`workers that are terminated, or exit, while I/O is in flight do not end the process: ${SECONDS} seconds`, {
  timeout: 2000 * SECONDS + 60_000,
}, () => {
  const file = join(testFolder(), 'file');
  writeFileSync(file, Buffer.alloc(1 << 20));
  const child = spawnSync(process.execPath, ['--expose-gc', program, addonPath, file, String(SECONDS)], { encoding: 'utf8' });
  expect({ status: child.status, signal: child.signal, stderr: child.stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  expect(JSON.parse(child.stdout).ended).toBeGreaterThan(5);
});
